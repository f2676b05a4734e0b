//! Remembering what has been verified, so that a change re-verifies what it
//! touches and not everything.
//!
//! A check is remembered under a hash of everything that it depends on. Every
//! check depends on the executable that makes it, on the supervisor, on the
//! kernel, and on who runs it; the rest it names itself, with the functions of
//! `crate::depends`. Only success is remembered. `VERIFY=all` runs everything
//! again.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use crate::depends::{self, Depends};

/// The successes of earlier runs.
pub struct Verified {
    folder: PathBuf,
    /// What every check depends on.
    always: u64,
    all: bool,
}

impl Verified {
    /// Keeps its notes beside the supervisor's executable, in Cargo's target
    /// folder, for the checks of this very executable.
    ///
    /// # Errors
    /// If an executable cannot be read or the folder cannot be made.
    pub fn beside(supervisor: &Path) -> Result<Verified> {
        Verified::of(&std::env::current_exe()?, supervisor)
    }

    /// The same for another executable that makes the checks.
    ///
    /// # Errors
    /// Those of [`Verified::beside`].
    pub fn of(judge: &Path, supervisor: &Path) -> Result<Verified> {
        let folder = supervisor.with_file_name("verified");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let mut hash = DefaultHasher::new();
        for executable in [judge, supervisor] {
            depends::digest(executable)
                .with_context(|| format!("cannot read {executable:?}"))?
                .hash(&mut hash);
        }
        let system = uname().context("cannot tell which system this is")?;
        (system.sysname(), system.release(), system.version()).hash(&mut hash);
        geteuid().as_raw().hash(&mut hash);
        Ok(Verified {
            folder,
            always: hash.finish(),
            all: std::env::var_os("VERIFY").is_some_and(|v| v == "all"),
        })
    }

    /// Runs `check` unless it has succeeded before with the same `depends`.
    ///
    /// # Errors
    /// Those of `check`, which are never remembered.
    pub fn once<E>(
        &self,
        name: &str,
        depends: &Depends,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if self.holds(name, depends) {
            return Ok(());
        }
        check()?;
        // A note that cannot be written costs a second run, nothing more.
        let _ = fs::write(self.note(name, depends), name);
        Ok(())
    }

    /// Whether a check has succeeded before with the same `depends`.
    pub fn holds(&self, name: &str, depends: &Depends) -> bool {
        !self.all && self.note(name, depends).exists()
    }

    fn note(&self, name: &str, depends: &Depends) -> PathBuf {
        let mut hash = DefaultHasher::new();
        (name, self.always, depends).hash(&mut hash);
        self.folder.join(format!("{:016x}", hash.finish()))
    }
}
