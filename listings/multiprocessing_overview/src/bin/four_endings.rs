// ANCHOR: all
//! Shows what the parent sees of four ways for a worker to end.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("end") => {
            end(&args.next().context("\"end\" needs a way to end")?)
        }
        Some(role) => bail!("unknown role {role:?}: expected \"end\""),
    }
}

fn parent() -> Result<()> {
    let success = status_of("success")?;
    let error = status_of("error")?;
    let panic = status_of("panic")?;
    let signal = status_of("signal")?;
    // ANCHOR: proof
    assert_eq!((success.code(), success.signal()), (Some(0), None));
    assert_eq!((error.code(), error.signal()), (Some(1), None));
    assert_eq!((panic.code(), panic.signal()), (Some(101), None));
    assert_eq!((signal.code(), signal.signal()), (None, Some(9)));
    println!("success: {success}");
    println!("error:   {error}");
    println!("panic:   {panic}");
    println!("signal:  {signal}");
    // ANCHOR_END: proof
    Ok(())
}

fn status_of(way: &str) -> Result<ExitStatus> {
    Command::new(env::current_exe()?)
        .args(["end", way])
        // The messages of the error and of the panic are not the point here.
        .stderr(Stdio::null())
        .status()
        .context("cannot run the worker")
}

fn end(way: &str) -> Result<()> {
    match way {
        "success" => Ok(()),
        "error" => bail!("this worker returns an error"),
        "panic" => panic!("this worker panics"),
        // The one signal that nobody can have blocked or ignored.
        "signal" => raise(Signal::SIGKILL).context("cannot raise SIGKILL"),
        _ => bail!("unknown way to end {way:?}"),
    }
}
// ANCHOR_END: all
