// ANCHOR: all
//! Proves what PIPE_BUF promises about a write into a nearly full pipe (Linux).

use std::env;
use std::io::{ErrorKind, Read, Write};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{PathconfVar, SysconfVar, fpathconf, sysconf};
use os_pipe::{PipeReader, PipeWriter};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    let (_reader, writer) = os_pipe::pipe()?;
    let limit = fpathconf(&writer, PathconfVar::PIPE_BUF)?;
    probe(limit.context("no PIPE_BUF")?.try_into()?)
}

fn probe(pipe_buf: usize) -> Result<()> {
    // ANCHOR: proof
    let (_reader, mut writer) = pipe_with_room(pipe_buf)?;
    let written = writer.write(&vec![b'x'; pipe_buf])?;
    assert_eq!(written, pipe_buf);
    println!("{pipe_buf} bytes, room for {pipe_buf}: {written} written");

    let (_reader, mut writer) = pipe_with_room(pipe_buf)?;
    let written = writer.write(&vec![b'x'; pipe_buf + 1])?;
    assert_eq!(written, pipe_buf);
    println!(
        "{} bytes, room for {pipe_buf}: {written} written",
        written + 1
    );

    let (_reader, mut writer) = pipe_with_room(pipe_buf - 1)?;
    let refused = writer.write(&vec![b'x'; pipe_buf]).err();
    let refused = refused.context("a part was written")?.kind();
    assert_eq!(refused, ErrorKind::WouldBlock);
    println!("{pipe_buf} bytes, room for {}: none written", pipe_buf - 1);
    // ANCHOR_END: proof
    let all = writer.write(&vec![b'x'; pipe_buf - 1])?;
    ensure!(all == pipe_buf - 1, "there was less room than assumed");
    Ok(())
}

/// A pipe that takes no more than this many bytes, and does not wait.
fn pipe_with_room(room: usize) -> Result<(PipeReader, PipeWriter)> {
    let (mut reader, mut writer) = os_pipe::pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // Linux keeps the bytes in pages, and a page is free when it is empty.
    let page = sysconf(SysconfVar::PAGE_SIZE)?.context("no page size")?;
    let mut page = vec![b'x'; page.try_into()?];
    while writer.write(&page).is_ok() {}
    reader.read_exact(&mut page)?;
    let filler = page.len().checked_sub(room).context("too much room")?;
    writer.write_all(&page[..filler])?;
    Ok((reader, writer))
}
// ANCHOR_END: all
