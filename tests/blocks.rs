//! Every Rust block of the book compiles and runs, exactly as a page shows
//! it.
//!
//! The tests themselves are generated: see `build.rs`. skeptic compiles and
//! runs a block with no time limit and takes no notice of processes that it
//! leaves behind. So each test starts this executable a second time, under
//! the supervisor and for that one block only.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Result;
use harness::needs;
use harness::supervise::Supervised;
use harness::verified::Verified;

include!(concat!(env!("OUT_DIR"), "/blocks.rs"));

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

/// For the compiler and the program together.
const DEADLINE: Duration = Duration::from_secs(60);

/// Set for the second, supervised start.
const SUPERVISED: &str = "MULTIPROCESSING_IN_RUST_BLOCK";

/// A Rust block's place in the book.
#[derive(Clone, Copy)]
struct Block {
    /// The name of its test.
    name: &'static str,
    page: &'static str,
    line: usize,
    /// Whether it is marked `should_panic`: the starter of an exercise.
    must_fail: bool,
}

type Verdict = Arc<OnceLock<Result<(), String>>>;

/// Several blocks of a page show pieces of one program, which is the same
/// program once its hidden lines are counted: it is verified once a run.
static VERDICTS: Mutex<Option<HashMap<(String, bool), Verdict>>> =
    Mutex::new(None);

fn guarded(block: &Block, root: &str, out: &str, target: &str, code: &str) {
    if env::var_os(SUPERVISED).is_some() {
        return compile_and_run(block, root, out, target, code);
    }
    if needs::is_left_out(block.name, code) {
        return;
    }
    let verdict = {
        let mut verdicts =
            VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
        let verdicts = verdicts.get_or_insert_default();
        let key = (code.to_owned(), block.must_fail);
        Arc::clone(verdicts.entry(key).or_default())
    };
    let verdict = verdict.get_or_init(|| {
        verify(block, code).unwrap_or_else(|error| Err(format!("{error:#}")))
    });
    if let Err(why) = verdict {
        panic!(
            "{}:{}: {why}\nrepeat with: cargo test --test blocks -- --exact {}",
            block.page, block.line, block.name
        );
    }
}

/// Runs the block, unless the same text has been verified before with the
/// same versions of all crates.
fn verify(block: &Block, code: &str) -> Result<Result<(), String>> {
    let verified = Verified::beside(Path::new(SUPERVISOR))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let versions = fs::read(root.join("Cargo.lock"))?;
    let name = if block.must_fail {
        "failing block"
    } else {
        "block"
    };
    Ok(verified.once(name, &[code.as_bytes(), &versions], || {
        supervise(block).unwrap_or_else(|error| Err(format!("{error:#}")))
    }))
}

fn supervise(block: &Block) -> Result<Result<(), String>> {
    let outcome = Supervised::new(SUPERVISOR, env::current_exe()?)
        .args(["--exact", block.name, "--nocapture"])
        .env(SUPERVISED, "1")
        .deadline(DEADLINE)
        .run()?;
    let faults = outcome.faults_unless_exit(0);
    if faults.is_empty() {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "{}\n{}",
        faults.join("\n"),
        readable(&outcome.output)
    )))
}

/// Without skeptic's rustc command line, which names every library and takes
/// pages.
fn readable(output: &str) -> String {
    let lines = output.lines().filter(|line| !line.contains("\"--extern\""));
    lines.map(|line| format!("{line}\n")).collect()
}

fn compile_and_run(
    block: &Block,
    root: &str,
    out: &str,
    target: &str,
    code: &str,
) {
    if !block.must_fail {
        return skeptic::rt::run_test(root, out, target, code);
    }
    // Not compiling would be a failure too, but not the one that is meant.
    skeptic::rt::compile_test(root, out, target, code);
    let run = || skeptic::rt::run_test(root, out, target, code);
    assert!(
        std::panic::catch_unwind(run).is_err(),
        "the block is marked should_panic and succeeds"
    );
}
