//! What a VRT says in its text: of which files it is made and where they lie in it. Nothing is opened but the text.
//!
//! Only mosaics are read: bands that are pieces of other files, pixel for pixel. All else that a VRT can be (raw bytes of any file, bands
//! that a function computes, warps, connections to databases and hosts) is refused by what this finds. It is not what a person is
//! protected by: the decoder of mosaics can open nothing else (`fence`), and what GDAL makes of the text is looked at again (`mosaic`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};

use super::foreign;
use crate::geom::{PixelRect, Size, Span};
use crate::raster::RasterError;

/// Bytes of a VRT's text.
const MOST_BYTES: u64 = 64 << 20;

/// Elements, attributes and texts of one.
const MOST_NODES: u32 = 8_000_000;

/// Files that one is made of, those of mosaics inside it included.
pub(super) const MOST_FILES: usize = 20_000;

/// Pixels by which places of pieces may differ from what was meant.
pub(super) const ROUNDING: f64 = 1e-3;

/// A piece of a mosaic: a part of another file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    /// The file, as it is written.
    pub(super) name: String,
    /// The same, from where GDAL looks for it.
    pub(super) path: PathBuf,
    /// Left, top, width and height of the part, and of its place in the mosaic; `None` for all there is.
    pub(super) from: Option<[f64; 4]>,
    pub(super) to: Option<[f64; 4]>,
}

/// What a VRT says.
#[derive(Clone, Debug, Default)]
pub(super) struct Vrt {
    /// Those of all bands, each once.
    pub(super) pieces: Vec<Piece>,
    /// Where there is no piece there is a value that it does not tell.
    pub(super) hides_nodata: bool,
    /// Why it is not read.
    pub(super) fault: Option<String>,
}

impl Piece {
    /// The pixels of a mosaic of this size that it reaches.
    pub(super) fn place(&self, size: Size) -> PixelRect {
        let [x, y, width, height] = self.to.unwrap_or([0.0, 0.0, f64::from(size.width), f64::from(size.height)]);
        // What lies outside of the mosaic has no pixel of it.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the mosaic, rounded")]
        let at = |position: f64, most: u32| position.clamp(0.0, most.into()) as u32;
        let span = |start: f64, length: f64, most: u32| {
            let end = at((start + length - ROUNDING).ceil(), most);
            Span::new(at((start + ROUNDING).floor(), most).min(end), end)
        };
        PixelRect::from_spans(span(x, width, size.width), span(y, height, size.height))
    }
}

impl Vrt {
    /// Reads a file; `None` where it is no VRT.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, RasterError> {
        if !foreign::is_vrt(path) {
            return Ok(None);
        }
        let failed = |e: std::io::Error| RasterError::Open { detail: e.to_string() };
        let mut text = Vec::new();
        File::open(path).map_err(failed)?.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
        let refused = |reason: &str| RasterError::Refused { reason: reason.to_owned() };
        if text.len() as u64 > MOST_BYTES {
            return Err(refused("it is a VRT of more than 64 MiB of text; make several of it (gdalbuildvrt)"));
        }
        let text =
            String::from_utf8(text).map_err(|_| refused("it is a VRT whose text is not UTF-8; write it anew"))?;
        // GDAL looks for pieces from where the text is, not from where a link to it is.
        let real = path.canonicalize().map_err(failed)?;
        Self::parse(&text, real.parent().unwrap_or(Path::new("/"))).map(Some).map_err(|reason| refused(&reason))
    }

    /// Understands a text whose relative names count from a folder.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text.trim_start_matches('\u{feff}'), options)
            .map_err(|e| format!("it is a VRT that cannot be understood ({e}); write it anew (gdalbuildvrt)"))?;
        let root = document.root_element();
        let mut vrt = Self::default();
        if !root.tag_name().name().eq_ignore_ascii_case("VRTDataset") {
            vrt.fault = Some("it is an XML text and no VRT of pixels".into());
        }
        for node in root.descendants().filter(Node::is_element) {
            if let Err(fault) = vrt.take(node, folder) {
                vrt.fault.get_or_insert(fault);
            }
        }
        vrt.pieces.sort_by_cached_key(key);
        vrt.pieces.dedup();
        Ok(vrt)
    }

    fn take(&mut self, node: Node<'_, '_>, folder: &Path) -> Result<(), String> {
        let name = node.tag_name().name().to_ascii_lowercase();
        let kind = attribute(node, "subClass").unwrap_or_default();
        match name.as_str() {
            "vrtdataset" if !["", "vrtdataset"].contains(&kind.to_ascii_lowercase().as_str()) => {
                Err(not_read(&format!("it is no mosaic but a {kind}")))
            }
            "vrtrasterband" => match kind.to_ascii_lowercase().as_str() {
                "" | "vrtsourcedrasterband" => Ok(()),
                "vrtrawrasterband" => Err(not_read("it has a band of raw bytes of a file (VRTRawRasterBand)")),
                "vrtderivedrasterband" => {
                    Err(not_read("it has a band that a pixel function computes (VRTDerivedRasterBand)"))
                }
                _ => Err(not_read(&format!("it has a band of the kind {kind}"))),
            },
            "pixelfunctiontype" | "pixelfunctionlanguage" | "pixelfunctioncode" | "pixelfunctionarguments" => {
                Err(not_read("it has a band that a pixel function computes"))
            }
            "group" => Err(not_read("it has arrays of more than two dimensions")),
            "openoptions" => Err(not_read("it says with which options of GDAL its sources are opened")),
            "hidenodatavalue" => {
                self.hides_nodata = true;
                Ok(())
            }
            "sourcefilename" => self.add(node, folder),
            "simplesource" | "complexsource" => Ok(()),
            name if name.ends_with("source") => Err(not_read(&format!("it has a {}", node.tag_name().name()))),
            _ => Ok(()),
        }
    }

    fn add(&mut self, node: Node<'_, '_>, folder: &Path) -> Result<(), String> {
        let name = node.text().unwrap_or_default().trim().to_owned();
        let short: String = name.chars().take(80).collect();
        if name.starts_with('<') {
            return Err(not_read("one of its sources is a VRT that is written inside it"));
        }
        if name.starts_with("/vsi") {
            return Err(not_read(&format!("its source `{short}` lies in a virtual file system of GDAL")));
        }
        let is_relative =
            attribute(node, "relativeToVRT").is_some_and(|v| v.trim().parse::<i64>().is_ok_and(|n| n != 0));
        let path = if is_relative { folder.join(&name) } else { PathBuf::from(&name) };
        let parent = node.parent_element();
        let rect = |tag: &str| {
            let of = parent?.children().find(|child| child.tag_name().name().eq_ignore_ascii_case(tag))?;
            let number = |key: &str| attribute(of, key)?.trim().parse().ok().filter(|n: &f64| n.is_finite());
            Some([number("xOff")?, number("yOff")?, number("xSize")?, number("ySize")?])
        };
        self.pieces.push(Piece { name, path, from: rect("SrcRect"), to: rect("DstRect") });
        Ok(())
    }

    /// The files of its pieces.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        let real = |piece: &Piece| piece.path.canonicalize().unwrap_or_else(|_| piece.path.clone());
        self.pieces.iter().map(real).collect()
    }
}

/// All files that a mosaic is made of as far as it tells, those of mosaics inside it included.
pub(super) fn files_of(path: &Path) -> Vec<PathBuf> {
    let (mut all, mut open) = (BTreeSet::new(), vec![path.to_owned()]);
    while let Some(path) = open.pop() {
        let Ok(Some(vrt)) = Vrt::read(&path) else { continue };
        for file in vrt.files() {
            if all.len() <= MOST_FILES && all.insert(file.clone()) {
                open.push(file);
            }
        }
    }
    all.into_iter().collect()
}

/// Where a file really is, if that is below one of these folders.
pub(super) fn inside(path: &Path, called: &str, roots: &[PathBuf]) -> Result<PathBuf, String> {
    let is_missing = |e: &std::io::Error| [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind());
    let real = path.canonicalize().map_err(|e| match is_missing(&e) {
        true => format!("{called} is missing; put it there, or make the VRT anew without it (gdalbuildvrt)"),
        false => format!("{called} cannot be reached: {e}"),
    })?;
    if roots.iter().any(|root| real.starts_with(root)) {
        return Ok(real);
    }
    let roots: Vec<String> = roots.iter().map(|root| format!("`{}`", root.display())).collect();
    Err(format!(
        "{called} lies outside of the input folder, at `{}`; a mosaic is read with its sources below {} alone: name a folder that holds \
         both as the input, or copy them there",
        real.display(),
        if roots.is_empty() { "it".to_owned() } else { roots.join(" or ") }
    ))
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name().eq_ignore_ascii_case(name)).map(|attribute| attribute.value())
}

/// Why a VRT is not read that is more than a mosaic.
fn not_read(what: &str) -> String {
    format!(
        "{what}, and swath reads VRTs that are mosaics of files, pixel for pixel; if you trust it, write it to a file: gdal_translate -of \
         GTiff FILE NEW.tif"
    )
}

fn key(piece: &Piece) -> (PathBuf, [u64; 8]) {
    let [from, to] = [piece.from, piece.to].map(|rect| rect.unwrap_or_default().map(f64::to_bits));
    let mut numbers = [0; 8];
    numbers.iter_mut().zip(from.into_iter().chain(to)).for_each(|(into, bits)| *into = bits);
    (piece.path.clone(), numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(inside: &str) -> Vrt {
        let text = format!("<VRTDataset rasterXSize='20' rasterYSize='10'>{inside}</VRTDataset>");
        Vrt::parse(&text, Path::new("/in")).unwrap()
    }

    #[test]
    fn pieces_are_told_once_whatever_bands_have_them() {
        let band = |n: u32| {
            format!(
                "<VRTRasterBand dataType='Byte' band='{n}'><SimpleSource><SourceFilename relativeToVRT='1'>t/a&amp;b.tif</SourceFilename>\
                 <SourceBand>{n}</SourceBand><SrcRect xOff='0' yOff='0' xSize='8' ySize='4'/>\
                 <DstRect xOff='14.5' yOff='-2' xSize='8' ySize='4'/></SimpleSource></VRTRasterBand>"
            )
        };
        let vrt = parsed(
            &(band(1)
                + &band(2)
                + "<MaskBand><VRTRasterBand><SimpleSource><SOURCEFILENAME>m.tif</SOURCEFILENAME></SimpleSource></VRTRasterBand></MaskBand>"),
        );
        assert_eq!(vrt.fault, None);
        let paths: Vec<&Path> = vrt.pieces.iter().map(|piece| piece.path.as_path()).collect();
        assert_eq!(paths, [Path::new("/in/t/a&b.tif"), Path::new("m.tif")]);
        let size = Size::new(20, 10);
        assert_eq!(vrt.pieces[0].place(size), PixelRect::from_spans(Span::new(14, 20), Span::new(0, 2)));
        assert_eq!(vrt.pieces[1].place(size), PixelRect::from_spans(Span::new(0, 20), Span::new(0, 10)));
        let far = Piece { to: Some([1e300, -1e300, 1.0, 1.0]), ..vrt.pieces[0].clone() };
        assert!(far.place(size).size.is_empty());
    }

    #[test]
    fn what_is_more_than_a_mosaic_is_refused() {
        for (inside, words) in [
            (
                "<VRTRasterBand subClass='VRTRawRasterBand'><SourceFilename>/etc/passwd</SourceFilename></VRTRasterBand>",
                "raw bytes",
            ),
            ("<vrtrasterband SUBCLASS='VRTDerivedRasterBand'/>", "pixel function"),
            ("<VRTRasterBand><PixelFunctionLanguage>Python</PixelFunctionLanguage></VRTRasterBand>", "pixel function"),
            ("<VRTRasterBand subClass='VRTWarpedRasterBand'/>", "of the kind VRTWarpedRasterBand"),
            ("<VRTRasterBand><KernelFilteredSource/></VRTRasterBand>", "a KernelFilteredSource"),
            (
                "<SimpleSource><SourceFilename>/vsicurl/http://a/b.tif</SourceFilename></SimpleSource>",
                "virtual file system",
            ),
            ("<SimpleSource><SourceFilename>&lt;VRTDataset/&gt;</SourceFilename></SimpleSource>", "written inside it"),
            ("<SimpleSource><OpenOptions><OOI key='ROOT_PATH'>/</OOI></OpenOptions></SimpleSource>", "options of GDAL"),
            ("<Group name='/'/>", "more than two dimensions"),
        ] {
            let fault = parsed(inside).fault.unwrap();
            assert!(fault.contains(words), "{inside}: {fault}");
        }
        let warped = Vrt::parse("<VRTDataset subClass='VRTWarpedDataset'/>", Path::new("/")).unwrap();
        assert!(warped.fault.unwrap().contains("a VRTWarpedDataset"));
        let bomb = "<!DOCTYPE a [<!ENTITY b 'c'>]><VRTDataset>&b;</VRTDataset>";
        assert!(Vrt::parse(bomb, Path::new("/")).unwrap_err().contains("cannot be understood"));
    }

    #[test]
    fn files_are_followed_through_links_and_mosaics_and_circles_end() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        let (inner, outer) = (home.join("inner.vrt"), home.join("outer.vrt"));
        let mosaic = |of: &str| {
            format!(
                "<VRTDataset><VRTRasterBand><SimpleSource><SourceFilename relativeToVRT='1'>{of}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
            )
        };
        crate::atomic::write(&home.join("a.tif"), b"x").unwrap();
        crate::atomic::write(&inner, mosaic("link.tif").as_bytes()).unwrap();
        crate::atomic::write(&outer, mosaic("inner.vrt").as_bytes()).unwrap();
        std::os::unix::fs::symlink("a.tif", home.join("link.tif")).unwrap();
        assert_eq!(files_of(&outer), [home.join("a.tif"), inner.clone()]);
        crate::atomic::write(&inner, mosaic("outer.vrt").as_bytes()).unwrap();
        assert_eq!(files_of(&outer), [inner, outer]);
        let roots = [home.clone()];
        assert_eq!(inside(&home.join("link.tif"), "it", &roots).unwrap(), home.join("a.tif"));
        assert!(inside(&home.join("none.tif"), "its source `n`", &roots).unwrap_err().contains("`n` is missing"));
        assert!(inside(Path::new("/etc/passwd"), "it", &roots).unwrap_err().contains("outside of the input folder"));
    }
}
