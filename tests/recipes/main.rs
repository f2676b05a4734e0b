//! What readers copy survives what people have reported of programs like it.
//!
//! One module per section; each test is named for what used to go wrong. A
//! fault that a change to the program's text can provoke is a trial instead:
//! see `tests/breaks.rs`.

mod barrier_example;
mod communicating_with_pipes;
mod communicating_with_queues;
mod killing_process;
mod multiprocessing_overview;
mod naming_process;
mod process_pool;
mod process_with_subclass;
mod run_bg_process;
mod run_bg_process_daemon;
mod run_bg_process_no_daemon;
mod spawning_processes;

use std::path::PathBuf;
use std::sync::LazyLock;

use running::programs::{self, Program};
use running::supervise::{Outcome, Supervised};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
    programs::build(running::root()).unwrap_or_else(|error| panic!("{error:#}"))
});

/// The executable of a listing's program, built.
fn executable(name: &str) -> PathBuf {
    let program = PROGRAMS.iter().find(|program| program.name == name);
    let program = program.unwrap_or_else(|| panic!("no program {name}"));
    program.executable.clone()
}

/// The program, started by `shell`, which has its path as `$0`.
fn started_by(shell: &str, program: &str) -> Outcome {
    Supervised::new(SUPERVISOR, "sh")
        .args(["-c", shell])
        .arg(executable(program))
        .run()
        .unwrap()
}
