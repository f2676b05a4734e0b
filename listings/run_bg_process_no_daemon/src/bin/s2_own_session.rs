// ANCHOR: all
//! Starts a worker that goes on after main, in a session of its own.

use std::env;
use std::io;
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::{getpid, getsid, setsid};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => main_program(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: own_session
fn main_program() -> Result<()> {
    let mut worker = Command::new(env::current_exe()?);
    worker.arg("worker").stdin(Stdio::piped());
    // SAFETY: between fork and exec only the system call setsid runs.
    unsafe { worker.pre_exec(|| Ok(setsid().map(drop)?)) };
    let worker = worker.spawn().context("cannot start the worker")?;
    println!("main: started a worker");
    // Not even its pipe is closed before main has ended.
    mem::forget(worker);
    Ok(())
}

fn worker() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    let leads = getsid(None)? == getpid();
    println!("worker: main has ended, I lead a session: {leads}");
    println!("worker: {} primes below 10000", primes_below(10_000));
    Ok(())
}
// ANCHOR_END: own_session

fn primes_below(limit: i32) -> usize {
    (2..limit).filter(|&n| is_prime(n)).count()
}

fn is_prime(n: i32) -> bool {
    (2..n).all(|divisor| n % divisor != 0)
}
// ANCHOR_END: all
