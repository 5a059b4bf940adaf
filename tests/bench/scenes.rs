//! Writes the inputs of `tests/bench/scale.sh` and `decode.sh`: one scene of 60 000 x 60 000 pixels (a drawn texture repeated; deflate,
//! tiled), the same uncompressed in strips, and a folder of 10 000 scenes of 256 x 256.
//!
//! `cargo run --release --example bench_scenes -- large|plain|small DIR [SIDE|COUNT]`
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a tool for measurements: it may stop at the first error"
)]

use std::path::Path;

use gdal::DriverManager;
use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use swath::geom::{GeoTransform, Size};
use swath::raster::{GeoTiff, write_geotiff};
use swath::synth::draw;

/// Side of the texture that is repeated; a multiple of the block.
const TEXTURE: u32 = 2048;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, dir, rest @ ..] = arguments.as_slice() else {
        panic!("usage: bench_scenes large|plain|small DIR [SIDE|COUNT]")
    };
    let number = |default: u32| rest.first().map_or(default, |n| n.parse().expect("a number"));
    std::fs::create_dir_all(dir).expect("the folder can be made");
    match kind.as_str() {
        "large" => large(Path::new(dir), number(60_000), &TILED),
        "plain" => large(Path::new(dir), number(60_000), &STRIPS),
        "small" => small(Path::new(dir), number(10_000)),
        other => panic!("`{other}` is none of large, plain and small"),
    }
}

const TILED: [&str; 5] = ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256", "COMPRESS=DEFLATE", "PREDICTOR=2"];
const STRIPS: [&str; 1] = ["COMPRESS=NONE"];

/// One scene, written a row of blocks at a time.
fn large(dir: &Path, side: u32, layout: &[&str]) {
    let texture = draw(7, "texture", Size::new(TEXTURE, TEXTURE));
    let common = ["ZLEVEL=1", "INTERLEAVE=PIXEL", "BIGTIFF=YES"];
    let options = RasterCreationOptions::from_iter(layout.iter().copied().chain(common));
    let driver = DriverManager::get_driver_by_name("GTiff").expect("GDAL writes TIFFs");
    let n = side as usize;
    let path = dir.join("large.tif");
    let create = driver.create_with_band_type_with_options::<u8, _>(&path, n, n, 3, &options);
    let mut dataset = create.expect("the scene can be created");
    dataset.set_geo_transform(&texture.transform.0).expect("a transform can be set");
    let srs = SpatialRef::from_epsg(texture.epsg).expect("the code is known");
    dataset.set_spatial_ref(&srs).expect("a reference system can be set");
    let repeat = |row: &[u8]| row.iter().copied().cycle().take(n).collect::<Vec<u8>>();
    let width = TEXTURE as usize;
    for y in (0..n).step_by(256) {
        let rows = 256.min(n - y);
        for (band, plane) in texture.rgb.chunks_exact(width * width).enumerate() {
            let line = |row: usize| repeat(&plane[((y + row) % width) * width..][..width]);
            let block: Vec<u8> = (0..rows).flat_map(line).collect();
            let mut buffer = Buffer::new((n, rows), block);
            let mut raster = dataset.rasterband(band + 1).expect("the band is there");
            raster.write((0, y as isize), (n, rows), &mut buffer).expect("rows can be written");
        }
    }
    dataset.close().expect("the scene can be closed");
    println!("{}", path.display());
}

/// Chips cut from drawn scenes.
fn small(dir: &Path, count: u32) {
    let side = 256_usize;
    let per_sheet = (TEXTURE as usize / side).pow(2);
    for sheet in 0..(count as usize).div_ceil(per_sheet) {
        let texture = draw(sheet as u64, "sheet", Size::new(TEXTURE, TEXTURE));
        for at in 0..per_sheet.min(count as usize - sheet * per_sheet) {
            let (x, y) = (at % (TEXTURE as usize / side) * side, at / (TEXTURE as usize / side) * side);
            let planes = texture.rgb.chunks_exact((TEXTURE * TEXTURE) as usize);
            let cut = |plane: &[u8]| {
                (y..y + side).flat_map(|row| plane[row * TEXTURE as usize + x..][..side].to_vec()).collect::<Vec<u8>>()
            };
            let chip: Vec<u8> = planes.flat_map(cut).collect();
            let path = dir.join(format!("s{:05}.tif", sheet * per_sheet + at));
            let transform = GeoTransform::north_up(500_000.0, 5_400_000.0, 0.5);
            let size = Size::new(256, 256);
            write_geotiff(&path, &GeoTiff { size, planes: &chip, transform, epsg: 32632 })
                .expect("a chip can be written");
        }
    }
    println!("{count} scenes in {}", dir.display());
}
