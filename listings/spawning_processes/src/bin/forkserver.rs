// ANCHOR: all
//! A forkserver: takes jobs from several clients, each with the descriptors
//! for its status and its answer, and survives the workers' failures.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, kill, raise, signal};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
// With nix one cannot close the descriptors of a message that has lost some.
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg,
};

fn main() -> Result<()> {
    if let Some(arg) = env::args_os().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: parent
    // First of all, while this process has one thread.
    let (socket, server) = start_server()?;

    let jobs = ["square 7", "", "crash", "square 12"];
    let results = thread::scope(|scope| {
        let clients = jobs.map(|job| {
            let socket = &socket;
            let client = move || run(socket, job);
            thread::Builder::new().spawn_scoped(scope, client)
        });
        clients.map(|client| {
            let client = client.context("cannot start a thread")?;
            client
                .join()
                .map_err(|_| anyhow!("a client has panicked"))?
        })
    });
    // The server sees the end of file and leaves.
    drop(socket);
    let server = retry(|| waitpid(server, None));
    let mut out = io::stdout();
    let mut outcome = Ok(());
    for (job, result) in jobs.iter().zip(results) {
        match result {
            Ok((answer, status)) => {
                let answer = String::from_utf8_lossy(&answer);
                writeln!(out, "{job:?}: answer {answer:?}, {status}")?;
            }
            Err(error) => {
                writeln!(out, "{job:?}: {error:#}")?;
                outcome = Err(error);
            }
        }
    }
    let server = server.context("cannot wait for the server")?;
    writeln!(out, "the server: {}", describe(server))?;
    outcome?;
    let left = matches!(server, WaitStatus::Exited(_, 0));
    ensure!(left, "the server has failed: {}", describe(server));
    // ANCHOR_END: parent
    Ok(())
}

// ANCHOR: run
/// The most that the server takes, in bytes.
const LONGEST_JOB: usize = 256;

/// A client: sends a job with two descriptors, and reads what comes back.
fn run(socket: &OwnedFd, job: &str) -> Result<(Vec<u8>, String)> {
    let long = job.len();
    let fits = long <= LONGEST_JOB;
    ensure!(fits, "a job of {long} bytes: the limit is {LONGEST_JOB}");
    let (status, status_end) = io::pipe().context("cannot make a pipe")?;
    let (mut answer, answer_end) = io::pipe().context("cannot make a pipe")?;
    retry(|| {
        sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(job.as_bytes())],
            &[ControlMessage::ScmRights(&[
                status_end.as_raw_fd(),
                answer_end.as_raw_fd(),
            ])],
            MsgFlags::empty(),
            None,
        )
    })
    .context("cannot send the job")?;
    // With a copy of these ends open, the reads never find end of file.
    drop((status_end, answer_end));
    let mut bytes = Vec::new();
    answer.read_to_end(&mut bytes).context("no answer")?;
    let status = io::read_to_string(status).context("no status")?;
    match status.split_once(": ") {
        Some(("ended", how)) => Ok((bytes, how.to_owned())),
        Some((_, why)) => bail!("the server: {why}"),
        None => bail!("the server has given up this job"),
    }
}
// ANCHOR_END: run

// ANCHOR: serve
/// More jobs than these wait in the socket.
const MOST_WORKERS: usize = 64;

struct Worker {
    pid: Pid,
    /// Becomes readable when the worker has ended.
    pidfd: OwnedFd,
    status: File,
}

fn take_jobs(socket: OwnedFd, workers: &mut Vec<Worker>) -> Result<()> {
    let mut open = true;
    while open || !workers.is_empty() {
        let room = workers.len() < MOST_WORKERS && has_room(&socket);
        let listen = open && (room || workers.is_empty());
        let (ended, events) = wait_for_events(&socket, listen, workers)?;
        for index in ended {
            report(workers.remove(index));
        }
        if events.is_empty() {
            continue;
        }
        let mut message = receive(&socket)?;
        // An empty job may be a client's; the end of file hangs up as well.
        let empty = message.text.is_empty() && message.fds.is_empty();
        open = !(empty && events.contains(PollFlags::POLLHUP));
        let Some(status) = message.fds.pop_front() else {
            // There is nobody to tell: its client reads an empty status.
            continue;
        };
        match unpack(message).and_then(fork_worker) {
            Err(error) => tell(&status, &format!("failed: {error:#}")),
            Ok(Side::Server { pid, pidfd }) => {
                workers.push(Worker { pid, pidfd, status })
            }
            Ok(Side::Worker { job, answer }) => {
                // What other clients wait to see closed is not the worker's.
                drop((socket, status));
                workers.clear();
                leave(|| work(&job, answer))
            }
        }
    }
    Ok(())
}
// ANCHOR_END: serve

fn serve(socket: OwnedFd) -> Result<()> {
    // Where it is ignored, or a handler reaps, `waitpid` finds no status.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .context("cannot reset SIGCHLD")?;
    let mut workers = Vec::new();
    let served = take_jobs(socket, &mut workers);
    // If the server has failed, these still run, and are still waited for.
    workers.into_iter().for_each(report);
    served
}

// ANCHOR: fork_worker
/// What a fork leaves in the one process and in the other.
enum Side {
    Server { pid: Pid, pidfd: OwnedFd },
    Worker { job: String, answer: File },
}

fn fork_worker((job, answer): (String, File)) -> Result<Side> {
    // SAFETY: the server has one thread, so its copy may run any code.
    let pid = match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => return Ok(Side::Worker { job, answer }),
        ForkResult::Parent { child } => child,
    };
    match linux::pidfd_open(pid) {
        Ok(pidfd) => Ok(Side::Server { pid, pidfd }),
        Err(error) => {
            // Nobody would notice its end.
            let _ = kill(pid, Signal::SIGKILL);
            let _ = retry(|| waitpid(pid, None));
            Err(error).context("cannot watch the worker")
        }
    }
}
// ANCHOR_END: fork_worker

/// Waits for workers to end or the socket to have something. The indices
/// are highest first, so that removing one moves none of the others.
fn wait_for_events(
    socket: &OwnedFd,
    listen: bool,
    workers: &[Worker],
) -> Result<(Vec<usize>, PollFlags)> {
    // ANCHOR: wait
    let mut fds: Vec<_> = workers
        .iter()
        .map(|worker| PollFd::new(worker.pidfd.as_fd(), PollFlags::POLLIN))
        .collect();
    if listen {
        fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
    }
    retry(|| poll(&mut fds, PollTimeout::NONE)).context("cannot wait")?;
    // ANCHOR_END: wait
    let on_socket = match listen {
        true => fds.pop().and_then(|fd| fd.revents()),
        false => None,
    };
    let ended = fds.iter().enumerate().rev();
    let ended = ended.filter(|(_, fd)| fd.any() != Some(false));
    let ended = ended.map(|(index, _)| index).collect();
    Ok((ended, on_socket.unwrap_or(PollFlags::empty())))
}

/// Calls again what a signal handler has interrupted.
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

fn report(worker: Worker) {
    let text = match retry(|| waitpid(worker.pid, None)) {
        Ok(status) => format!("ended: {}", describe(status)),
        Err(error) => format!("failed: cannot wait for the worker: {error}"),
    };
    tell(&worker.status, &text);
}

/// Writes to a client, unless it is gone or lets its pipe be full: it does
/// not want to know, then, and the others must not wait for it.
fn tell(mut client: &File, text: &str) {
    let mut room = [PollFd::new(client.as_fd(), PollFlags::POLLOUT)];
    if retry(|| poll(&mut room, PollTimeout::ZERO)) == Ok(1) {
        let _ = client.write_all(text.as_bytes());
    }
}

/// Whether two descriptors and a pidfd find a place, as a job needs them.
fn has_room(socket: &OwnedFd) -> bool {
    let places = (0..3).map(|_| socket.try_clone());
    places.collect::<io::Result<Vec<_>>>().is_ok()
}

struct Message {
    text: Vec<u8>,
    fds: VecDeque<File>,
    flags: ReturnFlags,
}

/// Receives one job. Whatever came with it is closed with the `Message`.
fn receive(socket: &OwnedFd) -> Result<Message> {
    let mut text = vec![0; LONGEST_JOB];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut text)];
        recvmsg(socket, &mut parts, &mut control, linux::FLAGS)
    })
    .context("cannot receive a job")?;
    let mut fds = VecDeque::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = item {
            fds.extend(rights.map(File::from));
        }
    }
    text.truncate(message.bytes);
    let flags = message.flags;
    Ok(Message { text, fds, flags })
}

/// The job and the pipe for its answer, if nothing is missing.
fn unpack(mut message: Message) -> Result<(String, File)> {
    let long = message.flags.contains(ReturnFlags::TRUNC);
    ensure!(!long, "the job is longer than {LONGEST_JOB} bytes");
    let lost = message.flags.contains(ReturnFlags::CTRUNC);
    ensure!(!lost, "not all of the job's descriptors have found a place");
    let (Some(answer), 0) = (message.fds.pop_front(), message.fds.len()) else {
        bail!("a job needs two descriptors");
    };
    let job = String::from_utf8(message.text);
    Ok((job.context("the job is not UTF-8")?, answer))
}

// ANCHOR: work
fn work(job: &str, mut answer: File) -> Result<()> {
    match job.split_once(' ').unwrap_or((job, "")) {
        ("square", number) => {
            let number: i64 = number.parse()?;
            let square = number.checked_mul(number);
            write!(answer, "{}", square.context("the square is too big")?)?;
            Ok(())
        }
        ("crash", _) => raise(Signal::SIGKILL).context("cannot crash"),
        _ => bail!("this job fails: {job:?}"),
    }
}
// ANCHOR_END: work

/// Ends a forked child, which must not return into its copy of the parent.
fn leave(task: impl FnOnce() -> Result<()>) -> ! {
    let code = panic::catch_unwind(AssertUnwindSafe(|| match task() {
        Ok(()) => 0,
        Err(error) => {
            let words = format!("Error: {error:#}\n");
            // `eprintln!` panics if nobody can read it.
            let _ = io::stderr().write_all(words.as_bytes());
            1
        }
    }));
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(code.unwrap_or(101)) }
}

fn describe(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit status: {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("signal: {signal}"),
        other => format!("{other:?}"),
    }
}

fn start_server() -> Result<(OwnedFd, Pid)> {
    let (client, socket) = linux::packet_pair()?;
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok((client, child)),
        ForkResult::Child => {
            drop(client);
            leave(|| serve(socket))
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{FromRawFd, RawFd};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    pub const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;

    pub fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)
            .context("cannot make a socket pair")
    }

    /// nix has no such function.
    pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
        // SAFETY: the call takes two numbers and touches no memory.
        let fd =
            unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let fd = Errno::result(fd)? as RawFd;
        // SAFETY: the kernel has made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    use super::*;

    pub const FLAGS: RecvFlags = RecvFlags::empty();

    pub fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
        bail!("this program needs Linux: a SEQPACKET pair and a pidfd")
    }

    pub fn pidfd_open(_: Pid) -> nix::Result<OwnedFd> {
        Err(Errno::ENOSYS)
    }
}
// ANCHOR_END: all
