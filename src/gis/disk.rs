//! Files that GDAL writes, through a door of ours: what the system refuses is remembered, with its words.
//!
//! GDAL and libtiff write from many places, and not all of them look at what came of it: a file can be closed without a complaint and lack
//! two bytes (seen with the COG driver, when one write found no room).

use std::cell::RefCell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// What names of such files begin with where GDAL is to open them. GDAL keeps the pointer.
const PREFIX: &CStr = c"/vsiswath/";

thread_local! {
    static FAULT: RefCell<Option<io::Error>> = const { RefCell::new(None) };
}

/// What GDAL is to call a file that it writes.
pub(super) fn named(path: &Path) -> PathBuf {
    static ONCE: Once = Once::new();
    ONCE.call_once(install);
    let mut name = OsStr::from_bytes(PREFIX.to_bytes()).to_owned();
    name.push(path);
    name.into()
}

/// Forgets what this thread's earlier writes met with.
pub(super) fn begin() {
    FAULT.set(None);
}

/// The first thing that the system has refused to this thread since [`begin`].
pub(super) fn fault() -> Option<io::Error> {
    FAULT.take()
}

fn note(error: io::Error) {
    FAULT.with_borrow_mut(|first| {
        first.get_or_insert(error);
    });
}

struct Open {
    file: File,
    at: u64,
    is_behind: bool,
}

impl Open {
    fn new(path: &Path, access: &str) -> io::Result<Self> {
        let (creates, writes) = (access.starts_with('w'), access.starts_with(['w', 'a']) || access.contains('+'));
        let file = File::options().read(true).write(writes).create(creates).truncate(creates).open(path)?;
        Ok(Self { file, at: 0, is_behind: false })
    }

    fn seek(&mut self, offset: u64, whence: c_int) -> io::Result<()> {
        const FROM_HERE: c_int = 1;
        const FROM_END: c_int = 2;
        let from = match whence {
            FROM_HERE => self.at,
            FROM_END => self.file.metadata()?.len(),
            _ => 0,
        };
        // Offsets are unsigned, and go backward all the same.
        (self.at, self.is_behind) = (from.wrapping_add(offset), false);
        Ok(())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        while n < into.len() {
            match self.file.read_at(&mut into[n..], self.at) {
                Ok(0) => {
                    self.is_behind = true;
                    break;
                }
                Ok(more) => (n, self.at) = (n + more, self.at + more as u64),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Whether it went well; otherwise it is noted.
fn went_well<T>(result: io::Result<T>) -> Option<T> {
    result.map_err(note).ok()
}

#[expect(unsafe_code, reason = "GDAL takes a file system as functions in C")]
mod functions {
    use super::*;

    /// # Safety
    /// GDAL gives back what `open` gave, and gives it back no more after `close`.
    unsafe fn open_file<'a>(file: *mut c_void) -> &'a mut Open {
        unsafe { &mut *file.cast::<Open>() }
    }

    pub(super) unsafe extern "C" fn open(_: *mut c_void, name: *const c_char, access: *const c_char) -> *mut c_void {
        let (name, access) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(access)) };
        let access = access.to_string_lossy();
        match Open::new(Path::new(OsStr::from_bytes(name.to_bytes())), &access) {
            Ok(open) => Box::into_raw(Box::new(open)).cast(),
            Err(e) => {
                // GDAL asks for many files that need not be there.
                if access.contains(['w', '+']) {
                    note(e);
                }
                std::ptr::null_mut()
            }
        }
    }

    pub(super) unsafe extern "C" fn tell(file: *mut c_void) -> u64 {
        unsafe { open_file(file) }.at
    }

    pub(super) unsafe extern "C" fn seek(file: *mut c_void, offset: u64, whence: c_int) -> c_int {
        went_well(unsafe { open_file(file) }.seek(offset, whence)).map_or(-1, |()| 0)
    }

    pub(super) unsafe extern "C" fn read(file: *mut c_void, into: *mut c_void, size: usize, n: usize) -> usize {
        if size * n == 0 {
            return 0;
        }
        let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), size * n) };
        went_well(unsafe { open_file(file) }.read(into)).map_or(0, |bytes| bytes / size)
    }

    pub(super) unsafe extern "C" fn eof(file: *mut c_void) -> c_int {
        unsafe { open_file(file) }.is_behind.into()
    }

    pub(super) unsafe extern "C" fn write(file: *mut c_void, from: *const c_void, size: usize, n: usize) -> usize {
        if size * n == 0 {
            return 0;
        }
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), size * n) };
        went_well(unsafe { open_file(file) }.write(bytes)).map_or(0, |()| n)
    }

    pub(super) unsafe extern "C" fn flush(_: *mut c_void) -> c_int {
        0
    }

    pub(super) unsafe extern "C" fn truncate(file: *mut c_void, size: u64) -> c_int {
        went_well(unsafe { open_file(file) }.file.set_len(size)).map_or(-1, |()| 0)
    }

    pub(super) unsafe extern "C" fn close(file: *mut c_void) -> c_int {
        drop(unsafe { Box::from_raw(file.cast::<Open>()) });
        0
    }
}

#[expect(unsafe_code, reason = "the functions are handed to GDAL, which copies the list of them")]
fn install() {
    unsafe {
        let list = gdal_sys::VSIAllocFilesystemPluginCallbacksStruct();
        (*list).open = Some(functions::open);
        (*list).tell = Some(functions::tell);
        (*list).seek = Some(functions::seek);
        (*list).read = Some(functions::read);
        (*list).eof = Some(functions::eof);
        (*list).write = Some(functions::write);
        (*list).flush = Some(functions::flush);
        (*list).truncate = Some(functions::truncate);
        (*list).close = Some(functions::close);
        gdal_sys::VSIInstallPluginHandler(PREFIX.as_ptr(), list);
        gdal_sys::VSIFreeFilesystemPluginCallbacksStruct(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_remembered_though_gdal_forgets_it() {
        let full = named(Path::new("/dev/full"));
        begin();
        let raster = gdal::DriverManager::get_driver_by_name("GTiff").unwrap().create(&full, 300, 200, 1);
        drop(raster.map(gdal::Dataset::close));
        assert_eq!(fault().unwrap().kind(), ErrorKind::StorageFull);
        assert!(fault().is_none());
    }

    #[test]
    fn a_file_is_read_and_written_at_any_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut open = Open::new(&path, "w+b").unwrap();
        open.write(b"abcdef").unwrap();
        open.seek(2, 0).unwrap();
        open.write(b"C").unwrap();
        open.seek(0u64.wrapping_sub(2), 2).unwrap();
        let mut rest = [0; 4];
        assert_eq!((open.read(&mut rest).unwrap(), &rest[..2], open.is_behind), (2, &b"ef"[..], true));
        assert_eq!(std::fs::read(&path).unwrap(), b"abCdef");
        assert!(Open::new(&dir.path().join("none"), "rb").is_err());
    }
}
