// ANCHOR: all
//! Solution: read a frame so that nothing broken passes for a message.

use std::io::{self, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

const MAX_FRAME: u32 = 64 * 1024;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    in_time(check)
}

// ANCHOR: exercise
fn read_frame(pipe: &mut impl Read) -> Result<Vec<u8>> {
    let mut header = [0; 4];
    pipe.read_exact(&mut header)
        .context("cannot read the length")?;
    let length = u32::from_be_bytes(header);
    ensure!(
        length <= MAX_FRAME,
        "expected at most {MAX_FRAME} bytes, not {length}"
    );
    let mut message = vec![0; length as usize];
    pipe.read_exact(&mut message)
        .with_context(|| format!("expected {length} bytes"))?;
    Ok(message)
}
// ANCHOR_END: exercise

/// Does not wait for ever if the check does.
fn in_time(check: fn() -> Result<()>) -> Result<()> {
    let (sender, outcome) = mpsc::channel();
    thread::spawn(move || sender.send(check()));
    match outcome.recv_timeout(Duration::from_secs(10)) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => {
            bail!("not solved yet: read_frame hangs")
        }
        Err(RecvTimeoutError::Disconnected) => {
            bail!("not solved yet: read_frame panics")
        }
    }
}

fn check() -> Result<()> {
    let mut frames = Trickle(b"\0\0\0\x05hello\0\0\0\0");
    for expected in [&b"hello"[..], b""] {
        let frame = read_frame(&mut frames).context("not solved yet")?;
        ensure!(frame == expected, "not solved yet: the frame was {frame:?}");
    }
    for broken in [&b""[..], b"\0\0", b"\0\0\0\x05hel"] {
        let refused = read_frame(&mut Trickle(broken)).is_err();
        let shown = broken.escape_ascii();
        ensure!(refused, "not solved yet: \"{shown}\" passed for a frame");
    }

    let mut longest = MAX_FRAME.to_be_bytes().to_vec();
    longest.resize(4 + MAX_FRAME as usize, b'x');
    let frame = read_frame(&mut Trickle(&longest)).context("not solved yet")?;
    ensure!(
        frame == longest[4..],
        "not solved yet: not the longest frame"
    );

    let longer = [&(MAX_FRAME + 1).to_be_bytes()[..], b"unread"].concat();
    let mut pipe = Trickle(&longer);
    let refused = read_frame(&mut pipe).is_err();
    ensure!(refused, "not solved yet: a frame over the limit passed");
    let unread = pipe.0 == b"unread";
    ensure!(unread, "not solved yet: more than the length was read");
    println!("solved: only whole frames within the limit pass");
    Ok(())
}

/// Gives one byte at a time: a pipe may give less than it is asked for.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}
// ANCHOR_END: all
