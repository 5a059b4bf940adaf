//! Writes the archive.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZIP64_BYTES_THR, ZipWriter};

use super::PackageError;
use super::copy::Checker;
use super::entry::{Content, Entry, Rules, order};
use super::manifest::{MANIFEST, Manifest, ManifestMask};
use super::sink::Sink;
use super::verify::{Written, digest, verify};
use crate::atomic::{AtomicFile, Fingerprint, Hashed, WriteError, sync_dir};
use crate::outputs::constant_into;

/// An archive at its final name, on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Number of entries, the manifest included.
    pub entries: u64,
    /// What is in it.
    pub content: Fingerprint,
}

/// Makes `target` an archive of exactly these masks, replacing what was there. `alive` is called again and again meanwhile.
///
/// # Errors
/// When the set is empty or a name is unfit or double; a mask is missing, damaged, or breaks the rules; the file system
/// refuses; or the archive does not read back. `target` is untouched then.
pub fn pack(target: &Path, entries: Vec<Entry>, rules: &Rules<'_>, alive: &dyn Fn()) -> Result<Packed, PackageError> {
    if entries.is_empty() {
        return Err(PackageError::Empty { path: target.to_owned() });
    }
    let entries = order(entries, rules)?;
    let mut sink = Sink::new(AtomicFile::create(target)?, alive);
    let written = write(&mut sink, target, &entries, rules);
    // What the file system said explains a failed write better than the library can.
    let fail = |source| WriteError { operation: "write", path: target.to_owned(), source };
    let file = sink.finish().map_err(fail)?;
    let written = written?;
    let file = file.finish()?;
    verify(file.temp_path(), target, &written, alive)?;
    let content = Fingerprint { bytes: file.bytes(), sha256: digest(file.temp_path(), target, alive)? };
    let path = file.persist()?;
    sync_dir(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(Packed { entries: written.len() as u64, content })
}

fn write<W>(
    sink: &mut Sink<'_, W>,
    target: &Path,
    entries: &[Entry],
    rules: &Rules<'_>,
) -> Result<Vec<Written>, PackageError>
where
    W: Write + Seek,
{
    let mut archive = Archive { zip: ZipWriter::new(sink), target, written: Vec::with_capacity(entries.len()) };
    let mut checker = Checker::new(rules);
    let mut manifest = Manifest::default();
    for entry in entries {
        let sha256 = archive.add_mask(entry, rules, &mut checker)?;
        if rules.manifest {
            let (name, bytes) = (entry.name.clone(), archive.written.last().map_or(0, |w| w.bytes));
            manifest.masks.push(ManifestMask {
                name,
                width: entry.size.width,
                height: entry.size.height,
                bytes,
                sha256,
            });
        }
    }
    if rules.manifest {
        archive.add(&rules.full_name(MANIFEST), 0, |out| {
            serde_json::to_writer_pretty(&mut *out, &manifest)
                .map_err(|e| zip_error(target, ZipError::Io(e.into())))?;
            out.write_all(b"\n").map_err(|e| zip_error(target, e.into()))
        })?;
    }
    archive.zip.finish().map_err(|e| zip_error(target, e))?;
    Ok(archive.written)
}

/// What failed: the file, or the library.
fn zip_error(target: &Path, source: ZipError) -> PackageError {
    let path = target.to_owned();
    if let ZipError::Io(source) = source {
        return WriteError { operation: "write", path, source }.into();
    }
    PackageError::Zip { path, source }
}

/// The archive being written.
struct Archive<'a, W: Write + Seek> {
    zip: ZipWriter<W>,
    target: &'a Path,
    written: Vec<Written>,
}

impl<W: Write + Seek> Archive<'_, W> {
    /// Adds a mask; gives its digest.
    fn add_mask(&mut self, entry: &Entry, rules: &Rules<'_>, checker: &mut Checker) -> Result<String, PackageError> {
        match &entry.content {
            Content::File(path) => {
                let read = |source| PackageError::Read { path: path.clone(), source };
                let file = File::open(path).map_err(read)?;
                let bytes = file.metadata().map_err(read)?.len();
                self.add(&entry.name, bytes, |out| checker.copy(file, path, entry.size, out))
            }
            Content::Copy(path) => {
                let read = |source| PackageError::Read { path: path.clone(), source };
                let mut file = File::open(path).map_err(read)?;
                let bytes = file.metadata().map_err(read)?.len();
                self.add(&entry.name, bytes, |out| io::copy(&mut file, out).map(drop).map_err(read))
            }
            Content::Blank(value) => {
                // The raw pixels are far more than the file will have.
                let bytes = entry.size.area().saturating_mul(u64::from(u8::from(rules.depth) / 8));
                self.add(&entry.name, bytes, |out| {
                    let made = constant_into(out, Path::new(&entry.name), entry.size, rules.depth, *value);
                    made.map_err(|source| PackageError::Blank { name: entry.name.clone(), source })
                })
            }
        }
    }

    /// Adds an entry of about `bytes` bytes, made by `content`; gives its digest.
    fn add<F>(&mut self, name: &str, bytes: u64, content: F) -> Result<String, PackageError>
    where
        F: FnOnce(&mut Hashed<&mut ZipWriter<W>>) -> Result<(), PackageError>,
    {
        let path = self.target;
        let started = self.zip.start_file(name, options(bytes));
        started.map_err(|e| zip_error(path, e))?;
        let mut out = Hashed::new(&mut self.zip);
        let made = content(&mut out);
        if let Some(source) = out.take_fault() {
            return Err(zip_error(path, source.into()));
        }
        made?;
        let (_, bytes, sha256) = out.into_parts();
        self.written.push(Written { name: name.to_owned(), bytes });
        Ok(sha256)
    }
}

/// Everything about an entry beside its name and content. Time and mode are fixed: equal masks give equal archives.
fn options(bytes: u64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o644)
        .large_file(bytes >= ZIP64_BYTES_THR)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::PathBuf;

    use super::*;
    use crate::config::MaskDepth;
    use crate::config::classes::{Class, ClassTable, Color, Nodata};
    use crate::geom::Size;
    use crate::outputs::constant;

    const SIZE: Size = Size::new(5, 4);

    fn table() -> ClassTable {
        let class = |id: u8, value| Class { id, name: format!("c{id}"), value, color: Color([0; 3]) };
        ClassTable::new(vec![class(0, 1), class(1, 7)], Some(Nodata { value: 200, color: Color([0; 3]) })).unwrap()
    }

    fn rules(classes: &ClassTable) -> Rules<'_> {
        Rules { depth: MaskDepth::Eight, classes, prefix: "", manifest: false }
    }

    fn mask(path: PathBuf, size: Size, depth: MaskDepth, value: u16) -> PathBuf {
        constant(&path, size, depth, value).unwrap().file.persist().unwrap()
    }

    fn file(name: &str, path: &Path) -> Entry {
        Entry { name: name.into(), size: SIZE, content: Content::File(path.to_owned()) }
    }

    fn blank(name: &str, value: u16) -> Entry {
        Entry { name: name.into(), size: SIZE, content: Content::Blank(value) }
    }

    fn unpack(path: &Path) -> Vec<(String, Vec<u8>)> {
        let mut zip = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
        let mut read = |i| {
            let mut entry = zip.by_index(i).unwrap();
            assert_eq!((entry.unix_mode(), entry.last_modified()), (Some(0o100_644), Some(DateTime::DEFAULT)));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        };
        (0..read_len(path)).map(&mut read).collect()
    }

    fn read_len(path: &Path) -> usize {
        zip::ZipArchive::new(File::open(path).unwrap()).unwrap().len()
    }

    #[test]
    fn the_archive_holds_the_masks_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let a = mask(dir.path().join("a.png"), SIZE, MaskDepth::Eight, 7);
        let b = mask(dir.path().join("b.png"), SIZE, MaskDepth::Eight, 200);
        let entries = vec![file("场景/b.png", &b), blank("blank.png", 0), file("a.png", &a)];
        let path = dir.path().join("out/submit.zip");
        let Packed { entries, content } = pack(&path, entries, &rules(&table()), &|| ()).unwrap();
        assert_eq!((entries, content.bytes), (3, path.metadata().unwrap().len()));
        assert_eq!(content.sha256, digest(&path, &path, &|| ()).unwrap());
        let held = unpack(&path);
        let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.png", "blank.png", "场景/b.png"]);
        assert_eq!(held[0].1, std::fs::read(&a).unwrap());
        assert_eq!(held[2].1, std::fs::read(&b).unwrap());
        assert_eq!(held[1].1, std::fs::read(mask(dir.path().join("0.png"), SIZE, MaskDepth::Eight, 0)).unwrap());
        assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 1);
    }

    #[test]
    fn equal_masks_give_equal_archives_whatever_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let masks =
            ["a.png", "b.png", "c/d.png"].map(|name| (name, mask(dir.path().join(name), SIZE, MaskDepth::Eight, 1)));
        let entries: Vec<Entry> =
            masks.iter().map(|(name, path)| file(name, path)).chain([blank("e.png", 7)]).collect();
        let classes = table();
        let rules = Rules { manifest: true, prefix: "p", ..rules(&classes) };
        let first = pack(&dir.path().join("1.zip"), entries.clone(), &rules, &|| ()).unwrap();
        for (_, path) in &masks {
            std::fs::File::options().append(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        let second = pack(&dir.path().join("2.zip"), entries.into_iter().rev().collect(), &rules, &|| ()).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn the_manifest_lists_what_the_archive_holds() {
        let dir = tempfile::tempdir().unwrap();
        let classes = table();
        let rules = Rules { manifest: true, prefix: "results/", ..rules(&classes) };
        let path = dir.path().join("x.zip");
        let packed = pack(&path, vec![blank("b.png", 1), blank("a.png", 7)], &rules, &|| ()).unwrap();
        let held = unpack(&path);
        let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, packed.entries), (vec!["results/a.png", "results/b.png", "results/manifest.json"], 3));
        let manifest: serde_json::Value = serde_json::from_slice(&held[2].1).unwrap();
        let first = &manifest["masks"][0];
        assert_eq!(manifest["masks"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&first["name"], &first["width"], &first["height"]),
            (&"results/a.png".into(), &5.into(), &4.into())
        );
        assert_eq!(first["bytes"], held[0].1.len());
        let sha256 = crate::hex(&<sha2::Sha256 as sha2::Digest>::digest(&held[0].1));
        assert_eq!(first["sha256"], sha256);
    }

    /// Packs a good mask and this one; the error, after checking that nothing was left.
    fn refusal(entry: Entry, dir: &Path) -> PackageError {
        let target = dir.join("zip/submit.zip");
        crate::atomic::write(&target, b"the old one").unwrap();
        let error =
            pack(&target, vec![blank("0.png", 1), entry, blank("z.png", 1)], &rules(&table()), &|| ()).unwrap_err();
        assert_eq!(std::fs::read(&target).unwrap(), b"the old one");
        assert_eq!(std::fs::read_dir(dir.join("zip")).unwrap().count(), 1);
        assert!(!matches!(error, PackageError::Write(_)), "{error}");
        error
    }

    #[test]
    fn a_mask_of_another_kind_is_refused_and_no_archive_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        assert!(matches!(refusal(file("a.png", &path), dir.path()), PackageError::Read { .. }));
        mask(path.clone(), SIZE, MaskDepth::Sixteen, 1);
        let error = refusal(file("a.png", &path), dir.path()).to_string();
        assert!(
            error.contains("a.png` holds grey values of 16 bits where the pipeline asks for grey values of 8"),
            "{error}"
        );
        mask(path.clone(), Size::new(4, 5), MaskDepth::Eight, 1);
        let error = refusal(file("a.png", &path), dir.path()).to_string();
        assert!(error.contains("a.png` has 4 x 5 pixels and its scene 5 x 4; delete it"), "{error}");
        let mut color = crate::outputs::color::create(&path, SIZE, &table()).unwrap();
        color.push(&[1; 20]).unwrap();
        color.finish().unwrap().file.persist().unwrap();
        let error = refusal(file("a.png", &path), dir.path()).to_string();
        assert!(error.contains("holds palette indices"), "{error}");
        let blank = Entry { name: "b.png".into(), size: SIZE, content: Content::Blank(256) };
        assert!(matches!(refusal(blank, dir.path()), PackageError::Blank { .. }));
    }

    #[test]
    fn a_value_outside_the_table_is_named_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let class = |id, value| Class { id, name: format!("c{id}"), value, color: Color([0; 3]) };
        let other = ClassTable::new(vec![class(0, 1), class(1, 8)], None).unwrap();
        let mut writer = crate::outputs::mask::create(&path, SIZE, MaskDepth::Eight, &other).unwrap();
        let mut labels = [0; 20];
        (labels[13], labels[17]) = (1, 1);
        writer.push(&labels).unwrap();
        writer.finish().unwrap().file.persist().unwrap();
        let error = refusal(file("a.png", &path), dir.path());
        assert!(matches!(&error, PackageError::Value { value: 8, x: 3, y: 2, .. }), "{error}");
        assert!(error.to_string().contains("a.png` holds 8 at column 3, row 2"), "{error}");
    }

    #[test]
    fn a_damaged_mask_is_refused_wherever_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = mask(dir.path().join("a.png"), SIZE, MaskDepth::Eight, 1);
        let whole = std::fs::read(&path).unwrap();
        for n in [0, 7, 20, 40, whole.len() - 13, whole.len() - 1] {
            crate::atomic::write(&path, &whole[..n]).unwrap();
            assert!(matches!(refusal(file("a.png", &path), dir.path()), PackageError::Mask { .. }), "{n} bytes");
        }
    }

    #[test]
    fn what_is_no_mask_is_copied_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, archive) = (dir.path().join("a.tif"), dir.path().join("x.zip"));
        let entry = || Entry { content: Content::Copy(path.clone()), ..blank("geotiff/a.tif", 0) };
        let packed = || pack(&archive, vec![blank("a.png", 1), entry()], &rules(&table()), &|| ());
        let error = packed().unwrap_err();
        assert!(matches!(&error, PackageError::Read { path: named, .. } if *named == path), "{error}");
        crate::atomic::write(&path, b"no mask").unwrap();
        packed().unwrap();
        assert_eq!(unpack(&archive)[1], ("geotiff/a.tif".to_owned(), b"no mask".to_vec()));
    }

    #[test]
    fn bytes_behind_the_picture_are_copied_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = mask(dir.path().join("a.png"), SIZE, MaskDepth::Eight, 1);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(vec![b'x'; 100_000]);
        crate::atomic::write(&path, &bytes).unwrap();
        let archive = dir.path().join("x.zip");
        pack(&archive, vec![file("a.png", &path)], &rules(&table()), &|| ()).unwrap();
        assert!(unpack(&archive)[0].1 == bytes);
    }

    #[test]
    fn an_empty_set_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = pack(&dir.path().join("x.zip"), vec![], &rules(&table()), &|| ()).unwrap_err();
        assert!(matches!(error, PackageError::Empty { .. }));
    }

    #[test]
    fn more_entries_than_16_bits_count_are_packed() {
        let dir = tempfile::tempdir().unwrap();
        let entries = (0..70_000).map(|i| Entry { size: Size::new(1, 1), ..blank(&format!("{}/{i}.png", i % 100), 1) });
        let path = dir.path().join("x.zip");
        let packed = pack(&path, entries.collect(), &rules(&table()), &|| ()).unwrap();
        assert_eq!((packed.entries, read_len(&path)), (70_000, 70_000));
    }

    #[test]
    fn an_entry_of_4_gib_gets_64_bit_lengths() {
        let base = options(0);
        assert_eq!(options(ZIP64_BYTES_THR - 1), base);
        assert_eq!(options(ZIP64_BYTES_THR), base.large_file(true));
        assert_ne!(base, base.large_file(true));
    }

    #[test]
    fn an_output_folder_that_cannot_be_made_is_an_output_fault() {
        let dir = tempfile::tempdir().unwrap();
        let blocker = dir.path().join("file");
        crate::atomic::write(&blocker, b"x").unwrap();
        let error = pack(&blocker.join("x.zip"), vec![blank("a.png", 1)], &rules(&table()), &|| ()).unwrap_err();
        assert!(matches!(error, PackageError::Write(_)), "{error}");
    }
}
