//! Section `process_with_subclass`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use running::supervise::Supervised;

use crate::{SUPERVISOR, executable};

/// A role that is no text used to be a panic.
#[test]
fn role_that_is_not_utf8_is_a_panic() -> Result<()> {
    for program in ["process_with_subclass", "typed_results"] {
        let outcome = Supervised::new(SUPERVISOR, executable(program))
            .arg(OsStr::from_bytes(b"su\xff"))
            .deadline(Duration::from_secs(20))
            .run()?;
        let faults = outcome.faults_unless_exit(1);
        ensure!(faults.is_empty(), "{program}: {}", faults.join("; "));
        ensure!(
            outcome.output.contains("unknown role \"su\\xFF\""),
            "{program}: {}",
            outcome.output
        );
    }
    Ok(())
}
