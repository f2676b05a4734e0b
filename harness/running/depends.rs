//! What the remembered checks depend on, beside what every check does (see
//! [`crate::verified`]). `tests/memory.rs` changes each file that could matter
//! and sees that the check would run again.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::edits::Edit;
use crate::needs::{self, PYTHON};
use crate::programs::{self, Program};

/// What decides how Cargo compiles, for all packages alike.
const CARGO: [&str; 4] = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "rust-toolchain.toml",
];

/// All that a check depends on, each with its name.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Depends(Vec<(String, Vec<u8>)>);

impl Depends {
    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Adds something that is no file.
    #[must_use]
    pub fn and(mut self, name: &str, content: impl Into<Vec<u8>>) -> Depends {
        self.0.push((name.to_owned(), content.into()));
        self
    }

    /// Adds a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn and_file(self, root: &Path, file: &Path) -> Result<Depends> {
        let digest = digest(&root.join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(self.and(&file.to_string_lossy(), digest.to_le_bytes()))
    }

    /// Adds a file, or that there is none.
    fn and_file_if_any(self, root: &Path, file: &Path) -> Depends {
        let name = file.to_string_lossy().into_owned();
        match digest(&root.join(file)) {
            Ok(digest) => self.and(&name, digest.to_le_bytes()),
            Err(_) => self.and(&format!("no {name}"), []),
        }
    }

    /// Adds how Cargo compiles the programs of a section.
    fn and_cargo(mut self, root: &Path, section: &str) -> Result<Depends> {
        for file in CARGO {
            self = self.and_file_if_any(root, Path::new(file));
        }
        self.and_file(root, &programs::manifest(section))
    }

    /// Adds the version of Python, if the program starts it.
    fn and_python(self, source: &str) -> Depends {
        static VERSION: LazyLock<String> =
            LazyLock::new(|| PYTHON.version().unwrap_or_default());
        match needs::starts_python(source) {
            true => self.and("python3 --version", VERSION.as_bytes()),
            false => self,
        }
    }
}

/// A number that changes with the file's content. Hundreds of checks depend on
/// the same executables, so each is read once, until it is written again.
pub(crate) fn digest(file: &Path) -> io::Result<u64> {
    /// Device, inode, length, and when it was changed, as the kernel says.
    type Version = (u64, u64, u64, i64, i64);
    static KNOWN: Mutex<BTreeMap<Version, u64>> = Mutex::new(BTreeMap::new());

    let about = fs::metadata(file)?;
    let version = (
        about.dev(),
        about.ino(),
        about.len(),
        about.ctime(),
        about.ctime_nsec(),
    );
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(digest) = known().get(&version) {
        return Ok(*digest);
    }
    let mut hash = DefaultHasher::new();
    fs::read(file)?.hash(&mut hash);
    let digest = hash.finish();
    known().insert(version, digest);
    Ok(digest)
}

/// How a listing runs: its executable, its record, what its package declares.
///
/// # Errors
/// If one of them cannot be read.
pub fn listing(root: &Path, program: &Program) -> Result<Depends> {
    let source = fs::read_to_string(root.join(&program.source))
        .with_context(|| format!("cannot read {}", program.source.display()))?;
    Ok(Depends::default()
        .and_file(root, &program.executable)?
        .and_file_if_any(root, &program.output())
        .and_file(root, &programs::manifest(&program.section))?
        .and_python(&source))
}

/// How a block of the pages compiles and runs.
///
/// # Errors
/// If one of Cargo's files cannot be read.
pub fn block(root: &Path, section: &str, code: &str) -> Result<Depends> {
    Ok(Depends::default()
        .and_cargo(root, section)?
        .and("the code", code)
        .and_python(code))
}

/// How a changed program compiles and ends.
///
/// # Errors
/// If one of Cargo's files cannot be read.
pub fn edit(root: &Path, edit: &Edit) -> Result<Depends> {
    Ok(Depends::default()
        .and_cargo(root, &edit.section)?
        .and("the changed program", edit.text.as_str())
        .and(
            "how it is to end",
            format!("{:?} {:?}", edit.kind, edit.ends),
        )
        .and_python(&edit.text))
}

/// What `cargo run` compiles for a program of the section.
///
/// # Errors
/// If a file cannot be read.
pub fn command(root: &Path, section: &str) -> Result<Depends> {
    let mut depends = Depends::default().and_cargo(root, section)?;
    let folder = Path::new("listings").join(section);
    for part in ["src", "src/bin", "examples"] {
        let part = folder.join(part);
        let mut files = Vec::new();
        for entry in fs::read_dir(root.join(&part)).into_iter().flatten() {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(part.join(entry.file_name()));
            }
        }
        files.sort();
        for file in files {
            let source = fs::read_to_string(root.join(&file))?;
            depends = depends.and_file(root, &file)?.and_python(&source);
        }
    }
    Ok(depends)
}

/// How a section's Python twin runs. `record` is what it is to print, from the
/// book's root.
///
/// # Errors
/// If the twin cannot be read.
pub fn twin(
    root: &Path,
    section: &str,
    record: &Path,
    version: &str,
) -> Result<Depends> {
    Depends::default()
        .and("python3 --version", version)
        .and_file(root, &programs::twin(section))?
        .and_file_if_any(root, record)
        .and_file(root, &programs::manifest(section))
}
