//! PNG and JPEG: in which order their rows can be had, which GDAL does not tell.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::raster::Order;

/// The order in which an image of one of the formats that GDAL calls so can be decoded.
pub(super) fn order(driver: &str, path: &Path) -> Order {
    let is_whole = match driver {
        "PNG" => is_interlaced(path),
        "JPEG" => is_progressive(path),
        _ => return Order::Blocks,
    };
    // What cannot be looked at may be of either kind.
    if is_whole.unwrap_or(true) { Order::Whole } else { Order::Rows }
}

fn is_interlaced(path: &Path) -> Option<bool> {
    let mut start = [0; 29];
    File::open(path).ok()?.read_exact(&mut start).ok()?;
    Some(start[28] != 0)
}

/// Markers that are looked at before the one that says how the image is coded.
const MOST_MARKERS: usize = 1000;

fn is_progressive(path: &Path) -> Option<bool> {
    let mut file = BufReader::new(File::open(path).ok()?);
    file.read_exact(&mut [0; 2]).ok()?;
    for _ in 0..MOST_MARKERS {
        let mut head = [0; 4];
        file.read_exact(&mut head[..2]).ok()?;
        // Any number of bytes may fill up to a marker.
        while head[1] == 0xff {
            file.read_exact(&mut head[1..2]).ok()?;
        }
        match head[..2] {
            [0xff, 0xc0 | 0xc1 | 0xc9] => return Some(false),
            [0xff, 0xc2 | 0xc6 | 0xca | 0xce] => return Some(true),
            [0xff, marker] if marker != 0xda => {
                file.read_exact(&mut head[2..]).ok()?;
                skip(&mut file, u16::from_be_bytes([head[2], head[3]]).checked_sub(2)?.into())?;
            }
            _ => return None,
        }
    }
    None
}

fn skip(file: &mut impl BufRead, n: u64) -> Option<()> {
    let skipped = std::io::copy(&mut file.take(n), &mut std::io::sink()).ok()?;
    (skipped == n).then_some(())
}
