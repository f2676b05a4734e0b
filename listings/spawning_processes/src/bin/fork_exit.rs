// ANCHOR: all
//! Ends a forked child in two ways, with two words not yet written.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::{env, process};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("fork") => {
            fork_and_end(&args.next().context("\"fork\" needs a way to end")?)
        }
        Some(role) => bail!("unknown role {role:?}: expected \"fork\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    assert_eq!(output_of("exit")?, "parent child parent ");
    assert_eq!(output_of("_exit")?, "parent ");
    println!("exit:  {:?}", output_of("exit")?);
    println!("_exit: {:?}", output_of("_exit")?);
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: fork_and_end
fn fork_and_end(way: &str) -> Result<()> {
    print!("parent ");
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => {
            print!("child ");
            if way == "exit" {
                process::exit(0);
            }
            // SAFETY: _exit ends this process and touches no memory.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).context("cannot wait")?;
            ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
        }
    }
    io::stdout().flush().context("cannot write")
}
// ANCHOR_END: fork_and_end

fn output_of(way: &str) -> Result<String> {
    let output = Command::new(env::current_exe()?)
        .args(["fork", way])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run the forking process")?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
// ANCHOR_END: all
