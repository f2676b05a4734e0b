// ANCHOR: all
//! Exercise: join every worker, also when one of them has failed.

use std::env;
use std::process::{self, Child, Command};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::waitpid;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => check(),
        Some("exit") => {
            let code = args.next().context("\"exit\" needs an exit code")?;
            process::exit(code.parse()?)
        }
        Some(role) => bail!("unknown role {role:?}: expected \"exit\""),
    }
}

// ANCHOR: task
/// Joins all workers. If any has failed, the error names each one that has.
fn join_all(workers: Vec<Child>) -> Result<()> {
    for (number, mut worker) in workers.into_iter().enumerate() {
        let status = worker.wait()?;
        ensure!(status.success(), "worker {number}: {status}");
    }
    Ok(())
}
// ANCHOR_END: task

fn check() -> Result<()> {
    let result = join_all(start(&["0", "3", "0", "4"])?);
    let mut left = 0;
    while waitpid(None, None).is_ok() {
        left += 1;
    }
    ensure!(left == 0, "not solved yet: {left} workers were not joined");
    let error = result
        .err()
        .context("not solved yet: where is the error?")?;
    let message = error.to_string();
    for part in ["worker 1: exit status: 3", "worker 3: exit status: 4"] {
        ensure!(message.contains(part), "not solved yet: no {part:?}");
    }
    join_all(start(&["0", "0"])?).context("not solved yet: nobody failed")?;
    println!("solved");
    Ok(())
}

fn start(codes: &[&str]) -> Result<Vec<Child>> {
    let mut workers = Vec::new();
    for code in codes {
        let mut command = Command::new(env::current_exe()?);
        workers.push(command.args(["exit", code]).spawn()?);
    }
    Ok(workers)
}
// ANCHOR_END: all
