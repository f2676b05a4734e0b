// ANCHOR: all
//! Passes the end of a third pipe with the crate command-fds (Linux).

use std::env;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use command_fds::CommandFdExt;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (mut progress, writer) = os_pipe::pipe()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg("child").arg(writer.as_raw_fd().to_string());
    command.preserved_fds(vec![writer.into()]);
    let mut child = command.spawn().context("cannot start the child")?;
    drop(command);

    let mut text = String::new();
    let read = progress.read_to_string(&mut text);
    drop(progress);
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");
    read.context("cannot read the progress")?;
    println!("progress: {text:?}");
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: child
#[cfg(target_os = "linux")]
fn child() -> Result<()> {
    use std::fs::File;
    use std::io::Write;

    use command_fds::inherited::{init_inherited_fds, take_fd_ownership};

    // SAFETY: nothing in this process has opened a descriptor yet.
    unsafe { init_inherited_fds() }.context("no inherited descriptors")?;
    let number = env::args().nth(2).context("the child needs a descriptor")?;
    let mut progress = File::from(take_fd_ownership(number.parse()?)?);
    println!("the result, on standard output");
    progress.write_all(b"half done, done")?;
    Ok(())
}
// ANCHOR_END: child

#[cfg(not(target_os = "linux"))]
fn child() -> Result<()> {
    bail!("command-fds finds inherited descriptors in Linux's /proc")
}
// ANCHOR_END: all
