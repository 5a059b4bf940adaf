//! What a process that decodes mosaics can open, once and for all: a VRT names files, and GDAL opens whatever a text names.
//!
//! Formats that are not allowed are taken out of GDAL, so that no piece of a mosaic is opened as one of them, at whatever depth. So are
//! its virtual file systems, which lead into archives and to other hosts. And the kernel lets the process read below some folders alone.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gdal::DriverManager;

use super::set_option;
use crate::faults::Faults;
use crate::process::limit_reading;
use crate::raster::Allowed;

/// Files of mosaics that GDAL keeps open.
pub(super) const MOST_OPEN: u32 = 64;

/// From now on this process opens those formats alone, and files below those folders to read.
///
/// # Errors
/// When that cannot be had, with the reason.
pub(super) fn close(allowed: &Allowed) -> Result<(), String> {
    let options = [
        ("GDAL_VRT_ENABLE_PYTHON", "NO"),
        ("GDAL_VRT_ENABLE_RAWRASTERBAND", "NO"),
        ("GDAL_MAX_DATASET_POOL_SIZE", &MOST_OPEN.to_string()),
    ];
    options.iter().try_for_each(|(key, value)| set_option(key, value)).map_err(|e| e.to_string())?;
    let drivers: Vec<_> = (0..DriverManager::count()).filter_map(|at| DriverManager::get_driver(at).ok()).collect();
    let names = allowed.drivers.names();
    drivers.iter().filter(|one| !names.contains(&one.short_name().as_str())).for_each(DriverManager::deregister_driver);
    close_file_systems();
    if Faults::at("confine").strike("").is_some() {
        return Err("planted fault".into());
    }
    limit_reading(&[allowed.roots.clone(), data_folders()].concat()).map_err(|e| e.to_string())
}

/// Where GDAL and PROJ have tables of coordinate systems.
fn data_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        find_file(c"gdal", c"gdalvrt.xsd").iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
    folders.extend(proj_folders());
    folders.retain(|folder| folder.is_dir());
    folders
}

/// GDAL's own, in memory: its decoder of JPEGs inside TIFFs has tables there. In a process that only reads there is nothing else in it.
const IN_MEMORY: &str = "/vsimem/";

#[expect(unsafe_code, reason = "the crate has no call for it")]
fn find_file(class: &CStr, name: &CStr) -> Option<PathBuf> {
    // SAFETY: GDAL keeps the text that it returns until this thread asks again; it is copied before.
    unsafe { path_of(gdal_sys::CPLFindFile(class.as_ptr(), name.as_ptr())) }
}

#[expect(unsafe_code, reason = "the crate has no call for it")]
fn proj_folders() -> Vec<PathBuf> {
    // SAFETY: the list is ours, and given back once it is copied.
    unsafe {
        let list = gdal_sys::OSRGetPROJSearchPaths();
        let folders = all_of(list).into_iter().map(|path| OsStr::from_bytes(path.to_bytes()).into()).collect();
        gdal_sys::CSLDestroy(list);
        folders
    }
}

/// Puts in the place of each virtual file system one that has no file.
#[expect(unsafe_code, reason = "GDAL takes a file system as functions in C")]
fn close_file_systems() {
    unsafe extern "C" fn open(_: *mut c_void, _: *const c_char, _: *const c_char) -> *mut c_void {
        std::ptr::null_mut()
    }
    // SAFETY: GDAL copies the list of functions, and keeps the prefixes, which are therefore left to it for good.
    unsafe {
        let list = gdal_sys::VSIGetFileSystemsPrefixes();
        let functions = gdal_sys::VSIAllocFilesystemPluginCallbacksStruct();
        (*functions).open = Some(open);
        for prefix in all_of(list).into_iter().filter(|prefix| prefix.to_bytes() != IN_MEMORY.as_bytes()) {
            gdal_sys::VSIInstallPluginHandler(prefix.into_raw(), functions);
        }
        gdal_sys::VSIFreeFilesystemPluginCallbacksStruct(functions);
        gdal_sys::CSLDestroy(list);
    }
}

/// # Safety
/// The pointer is null, or that of a text.
#[expect(unsafe_code, reason = "a text of C")]
unsafe fn path_of(text: *const c_char) -> Option<PathBuf> {
    (!text.is_null()).then(|| OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes()).into())
}

/// # Safety
/// The pointer is null, or that of a list of texts, whose end is null.
#[expect(unsafe_code, reason = "a list of C")]
unsafe fn all_of(list: *mut *mut c_char) -> Vec<CString> {
    let mut all = Vec::new();
    if !list.is_null() {
        let mut at = list;
        while !unsafe { *at }.is_null() {
            all.push(unsafe { CStr::from_ptr(*at) }.to_owned());
            at = unsafe { at.add(1) };
        }
    }
    all
}
