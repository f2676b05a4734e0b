// ANCHOR: all
//! Spawns a worker, which does not see the setting that the parent has changed.

use std::env;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail, ensure};

// ANCHOR: spawn_worker
static SETTING: AtomicU32 = AtomicU32::new(1);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => work("worker"),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    SETTING.store(3, Relaxed);
    work("parent")?;
    let status = Command::new(env::current_exe()?)
        .arg("worker")
        .status()
        .context("cannot run the worker")?;
    ensure!(status.success(), "the worker: {status}");
    Ok(())
}

fn work(who: &str) -> Result<()> {
    println!("the {who} sees setting {}", SETTING.load(Relaxed));
    Ok(())
}
// ANCHOR_END: spawn_worker
// ANCHOR_END: all
