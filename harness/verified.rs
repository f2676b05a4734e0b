//! Remembering what has been verified, so that a change re-verifies what it
//! touches and not everything.
//!
//! A check is remembered under a hash of everything that it depends on: the
//! executable, the recorded output, the supervisor. Only success is
//! remembered. `VERIFY=all` runs everything again.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The successes of earlier runs.
pub struct Verified {
    folder: PathBuf,
    supervisor: Vec<u8>,
    all: bool,
}

impl Verified {
    /// Keeps its notes beside the supervisor's executable, in Cargo's target
    /// folder. A supervisor that changed makes every note void.
    ///
    /// # Errors
    /// If the supervisor cannot be read or the folder cannot be made.
    pub fn beside(supervisor: &Path) -> Result<Verified> {
        let folder = supervisor.with_file_name("verified");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Verified {
            folder,
            supervisor: fs::read(supervisor)
                .with_context(|| format!("cannot read {supervisor:?}"))?,
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
        depends: &[&[u8]],
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
    pub fn holds(&self, name: &str, depends: &[&[u8]]) -> bool {
        !self.all && self.note(name, depends).exists()
    }

    fn note(&self, name: &str, depends: &[&[u8]]) -> PathBuf {
        let mut hash = DefaultHasher::new();
        (name, &self.supervisor, depends).hash(&mut hash);
        self.folder.join(format!("{:016x}", hash.finish()))
    }
}
