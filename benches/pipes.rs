//! Messages that go one way, from one process to another.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::report::{Contestant, Row, python, times_faster};

mod buffered {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::thread;

    use anyhow::{Context, Result, bail, ensure};

    include!(concat!(
        env!("OUT_DIR"),
        "/communicating_with_pipes/buffered_frames/frames.rs"
    ));

    pub const BUFFER_SIZE: usize = BUFFER;

    pub fn write(buffer: &mut impl Write, message: &[u8]) -> Result<()> {
        write_frame(buffer, message)
    }

    pub fn read(
        pipe: &mut BufReader<impl Read>,
        to: &mut Vec<u8>,
    ) -> Result<bool> {
        read_frame(pipe, to)
    }
}

mod at_once {
    use std::io::Write;

    use anyhow::{Context, Result, bail};

    include!(concat!(
        env!("OUT_DIR"),
        "/communicating_with_pipes/framed_messages/write.rs"
    ));

    pub fn send_all(
        pipe: impl Write,
        messages: impl Iterator<Item = impl AsRef<[u8]>>,
    ) -> Result<()> {
        let mut frames = FrameWriter::new(pipe);
        for message in messages {
            frames.write(message.as_ref())?;
        }
        Ok(())
    }
}

mod large {
    use std::os::unix::net::UnixStream;

    use anyhow::{Context, Result};
    use nix::sys::socket::{setsockopt, sockopt::SndBuf};

    // The frames are those of buffered_frames.
    const MAX_FRAME: u32 = super::MIB as u32;

    include!(concat!(
        env!("OUT_DIR"),
        "/communicating_with_pipes/large_frames/pair.rs"
    ));

    pub fn pair() -> Result<(UnixStream, UnixStream)> {
        large_pair()
    }
}

#[cfg(target_os = "linux")]
mod shared {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Write};
    use std::net::Shutdown;
    use std::num::NonZeroUsize;
    use std::os::unix::net::UnixStream;
    use std::ptr::NonNull;
    use std::slice;

    use anyhow::{Context, Result, ensure};
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};

    include!(concat!(
        env!("OUT_DIR"),
        "/communicating_with_pipes/shared_message/slots.rs"
    ));
    include!(concat!(
        env!("OUT_DIR"),
        "/communicating_with_pipes/shared_message/hand_over.rs"
    ));

    pub fn memory() -> Result<File> {
        Slots::make()
    }

    pub fn send_all(
        memory: &File,
        socket: &UnixStream,
        count: u64,
        stamp: fn(&mut [u8], u64),
    ) -> Result<()> {
        // SAFETY: the other process runs `receive_all`.
        let mut slots = unsafe { Slots::map(memory) }?;
        let mut numbers = 0..;
        send(&mut slots, socket, count as usize, |message| {
            stamp(message, numbers.next().unwrap_or(u64::MAX));
        })
    }

    pub fn receive_all(
        memory: &File,
        socket: &UnixStream,
        take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        // SAFETY: the other process runs `send_all`.
        let mut slots = unsafe { Slots::map(memory) }?;
        receive(&mut slots, socket, take)
    }
}

const MIB: usize = 1024 * 1024;

pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "frames_buffered",
            work: "64-byte frames one way, buffered; Connection.send_bytes",
            reach: 60.0,
            rounds: 11,
            ours: Box::new(|| frames("buffered", 64, 2_000_000)),
            rival: python("frames.py", &["64", "100000"], 100_000),
            ratio: times_faster,
        },
        Row {
            name: "frames_at_once",
            work: "64-byte frames one way, one write each; \
                   Connection.send_bytes",
            reach: 6.0,
            rounds: 11,
            ours: Box::new(|| frames("at_once", 64, 1_000_000)),
            rival: python("frames.py", &["64", "100000"], 100_000),
            ratio: times_faster,
        },
        Row {
            name: "messages_1mib",
            work: "1 MiB messages over a socket pair; Connection.send_bytes",
            reach: 8.0,
            rounds: 11,
            ours: Box::new(|| frames("large", MIB, 1_000)),
            rival: python("frames.py", &["1048576", "300"], 300),
            ratio: times_faster,
        },
        #[cfg(target_os = "linux")]
        Row {
            name: "shared_memory_1mib",
            work: "1 MiB messages made and read in a mapping, never copied; \
                   Connection.send_bytes",
            reach: 60.0,
            rounds: 11,
            ours: shared_memory(20_000),
            rival: python("frames.py", &["1048576", "300"], 300),
            ratio: times_faster,
        },
    ]
}

pub fn play(role: &str, args: &[String]) -> Result<()> {
    let size = args.first().context("no size")?.parse()?;
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut seen = Seen::default();
    let mut message = Vec::new();
    match role {
        "buffered" | "at_once" => {
            let capacity = buffered::BUFFER_SIZE;
            let mut input = BufReader::with_capacity(capacity, input);
            println!("ready");
            while buffered::read(&mut input, &mut message)? {
                seen.check(&message, size)?;
            }
        }
        "large" => {
            let mut input = BufReader::new(input);
            println!("ready");
            while buffered::read(&mut input, &mut message)? {
                seen.check(&message, size)?;
            }
        }
        #[cfg(target_os = "linux")]
        "shared" => {
            // The report goes to standard error: the socket is the output.
            let socket = io::stdout().as_fd().try_clone_to_owned()?;
            let socket = UnixStream::from(socket);
            shared::receive_all(&input, &socket, |message| {
                seen.check(message, size)
            })?;
            eprintln!("{seen:?}");
            return Ok(());
        }
        _ => bail!("unknown role {role:?}"),
    }
    println!("{seen:?}");
    Ok(())
}

/// What the receiver has seen; the sender knows what it should be.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    count: u64,
    sum: u64,
}

impl Seen {
    fn check(&mut self, message: &[u8], size: usize) -> Result<()> {
        ensure!(message.len() == size, "a message of {}", message.len());
        let number = message.first_chunk().context("too short")?;
        ensure!(message.last() == message.first(), "the last byte is wrong");
        self.count += 1;
        self.sum += u64::from_le_bytes(*number);
        Ok(())
    }

    fn all(count: u64) -> Seen {
        Seen {
            count,
            sum: (0..count).sum(),
        }
    }
}

/// What makes each message another: its number, and the same at the end.
fn stamp(message: &mut [u8], number: u64) {
    let number = number.to_le_bytes();
    message[..8].copy_from_slice(&number);
    if let Some(last) = message.last_mut() {
        *last = number[0];
    }
}

/// Time per message, from the first to the receiver's report.
fn frames(role: &str, size: usize, count: u64) -> Result<Duration> {
    let mut message = vec![0; size];
    let (mut child, mut reports, began);
    match role {
        "large" => {
            let (mut ours, theirs) = large::pair()?;
            (child, reports) = start(role, size, OwnedFd::from(theirs))?;
            began = Instant::now();
            for number in 0..count {
                stamp(&mut message, number);
                buffered::write(&mut ours, &message)?;
            }
            ours.shutdown(Shutdown::Write)?;
        }
        _ => {
            let (reader, writer) = io::pipe()?;
            (child, reports) = start(role, size, reader)?;
            began = Instant::now();
            if role == "buffered" {
                let capacity = buffered::BUFFER_SIZE;
                let mut buffer = BufWriter::with_capacity(capacity, writer);
                for number in 0..count {
                    stamp(&mut message, number);
                    buffered::write(&mut buffer, &message)?;
                }
                buffer.flush()?;
            } else {
                let messages = (0..count).map(|number| {
                    let mut message = [0; 64];
                    stamp(&mut message, number);
                    message
                });
                at_once::send_all(writer, messages)?;
            }
        }
    }
    let mut report = String::new();
    reports.read_line(&mut report)?;
    let took = began.elapsed();
    ensure!(child.wait()?.success(), "the receiver failed");
    let expected = Seen::all(count);
    ensure!(report.trim_end() == format!("{expected:?}"), "{report}");
    Ok(took / u32::try_from(count)?)
}

fn start(
    role: &str,
    size: usize,
    input: impl Into<Stdio>,
) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut child = Command::new(env::current_exe()?)
        .args([&format!("role:pipes:{role}"), &size.to_string()])
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the receiver")?;
    let reports = child.stdout.take().context("no output")?;
    let mut reports = BufReader::new(reports);
    let mut ready = String::new();
    reports.read_line(&mut ready)?;
    ensure!(ready == "ready\n", "the receiver said {ready:?}");
    Ok((child, reports))
}

#[cfg(target_os = "linux")]
fn shared_memory(count: u64) -> Contestant {
    Box::new(move || {
        let memory = shared::memory()?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = Command::new(env::current_exe()?)
            .args(["role:pipes:shared", &MIB.to_string()])
            .stdin(memory.try_clone()?)
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the receiver")?;
        wait_until_readable(&ours)?;
        let began = Instant::now();
        shared::send_all(&memory, &ours, count, stamp)?;
        let mut report = String::new();
        let mut reports = child.stderr.take().context("no errors")?;
        reports.read_to_string(&mut report)?;
        let took = began.elapsed();
        ensure!(child.wait()?.success(), "the receiver failed: {report}");
        let expected = Seen::all(count);
        ensure!(report.trim_end() == format!("{expected:?}"), "{report}");
        Ok(took / u32::try_from(count)?)
    })
}

/// The receiver is ready when it has handed out the slots.
#[cfg(target_os = "linux")]
fn wait_until_readable(socket: &UnixStream) -> Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(10_000_u16))?;
    Ok(())
}
