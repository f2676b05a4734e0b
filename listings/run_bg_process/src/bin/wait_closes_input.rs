// ANCHOR: all
//! Proves that Child::wait closes the child's input, unless it was taken out.

use std::env;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    // cat ends at the end of its input. Here wait itself closes the pipe.
    let mut cat = start_cat()?;
    assert!(cat.wait()?.success());

    // Here main holds the pipe, so the same wait would never return.
    let mut cat = start_cat()?;
    let input = cat.stdin.take().context("cat has no input")?;
    let output = cat.stdout.take().context("cat has no output")?;
    let mut ends = [PollFd::new(output.as_fd(), PollFlags::empty())];
    assert_eq!(poll(&mut ends, PollTimeout::from(50u8))?, 0);
    assert!(cat.try_wait()?.is_none());

    drop(input);
    assert!(cat.wait()?.success());
    println!("cat ended when its input was closed, and not before");
    // ANCHOR_END: proof
    Ok(())
}

fn start_cat() -> Result<Child> {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cat")
}
// ANCHOR_END: all
