// ANCHOR: all
//! Proves that Child::wait closes the child's input, unless it was taken out.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    // cat ends at the end of its input. Here wait itself closes the pipe.
    let mut cat = start_cat()?;
    assert!(cat.wait()?.success());

    // Here main holds the pipe, so the same wait waits on.
    let mut cat = start_cat()?;
    let pipes = (cat.stdin.take(), cat.stdout.take());
    let (sender, waiter) = mpsc::channel();
    let answer = thread::scope(|threads| {
        let wait = || -> Result<()> {
            sender.send(this_thread())?;
            cat.wait()?;
            Ok(())
        };
        let builder = thread::Builder::new();
        builder.spawn_scoped(threads, wait).context("no thread")?;
        ask_while_it_waits(pipes, &waiter)
    });
    assert!(cat.wait()?.success());
    assert_eq!(answer?, "still here\n");
    // ANCHOR_END: proof
    println!("cat ended when its input was closed, and not before");
    Ok(())
}

// ANCHOR: ask
/// Asks cat over its pipes while another thread waits for its end, and then
/// closes them.
fn ask_while_it_waits(
    (input, output): (Option<ChildStdin>, Option<ChildStdout>),
    waiter: &Receiver<i32>,
) -> Result<String> {
    let mut input = input.context("cat has no input")?;
    let output = output.context("cat has no output")?;
    let thread = waiter.recv()?;
    while !is_asleep(thread)? {
        thread::yield_now();
    }
    writeln!(input, "still here")?;
    let mut answer = String::new();
    BufReader::new(output).read_line(&mut answer)?;
    Ok(answer)
}
// ANCHOR_END: ask

fn start_cat() -> Result<Child> {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cat")
}

#[cfg(target_os = "linux")]
fn this_thread() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// Whether a thread of this process waits for something.
#[cfg(target_os = "linux")]
fn is_asleep(thread: i32) -> Result<bool> {
    let file = format!("/proc/self/task/{thread}/stat");
    let stat = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {file}"))?;
    // The state follows the name, which stands in parentheses.
    let (_, state) = stat.rsplit_once(") ").context("no state")?;
    Ok(state.starts_with('S'))
}

#[cfg(not(target_os = "linux"))]
fn this_thread() -> i32 {
    0
}

/// Elsewhere nothing tells, and the answer may come before the wait.
#[cfg(not(target_os = "linux"))]
fn is_asleep(_: i32) -> Result<bool> {
    Ok(true)
}
// ANCHOR_END: all
