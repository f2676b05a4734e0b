//! Section `spawning_processes`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use running::supervise::{Outcome, Supervised};

use crate::{SUPERVISOR, executable};

const DEADLINE: Duration = Duration::from_secs(20);

/// The programs of the section that a reader copies.
const COPIED: [&str; 2] = ["spawning_processes", "forkserver"];

/// How often a program is killed, each time a little later.
const KILLS: u32 = 20;

fn supervised(name: &str) -> Supervised {
    Supervised::new(SUPERVISOR, executable(name)).deadline(DEADLINE)
}

fn assert_error(outcome: &Outcome, text: &str) {
    let faults = outcome.faults_unless_exit(1);
    let told = outcome.output.contains("Error: ")
        && outcome.output.contains(text)
        && !outcome.output.contains("panicked");
    assert!(faults.is_empty() && told, "{faults:?}\n{}", outcome.output);
}

#[test]
fn an_argument_that_is_not_utf8_is_an_error_and_no_panic() {
    for name in COPIED {
        let argument = OsStr::from_bytes(b"na\xefve");
        let outcome = supervised(name).arg(argument).run().unwrap();
        assert_error(&outcome, r#""na\xEFve""#);
    }
}

/// The server, and the workers that it has, end when their client is gone.
#[test]
fn a_killed_parent_leaves_no_server_behind() {
    for name in COPIED {
        let took = supervised(name).run().unwrap().took;
        for kill in 0..KILLS {
            let after = took * kill / KILLS;
            // Choice 0 is the program itself.
            let run = supervised(name).kill_one(after, 0).grace(DEADLINE);
            let outcome = run.run().unwrap();
            let faults = &outcome.faults;
            assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
        }
    }
}
