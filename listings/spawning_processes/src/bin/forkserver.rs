// ANCHOR: all
//! A forkserver: takes jobs from several clients, each with the descriptors
//! for its answer and its status, and survives the workers' failures.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg,
};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: parent
    // First of all, while this process has one thread.
    let (socket, server) = start_server()?;

    let jobs = ["square 7", "", "crash", "square 12"];
    let results = thread::scope(|scope| {
        let clients = jobs.map(|job| {
            let socket = &socket;
            scope.spawn(move || run(socket, job))
        });
        clients.map(|client| client.join())
    });
    // The server sees the end of file and leaves.
    drop(socket);
    let server = waitpid(server, None)?;
    for (job, result) in jobs.iter().zip(results) {
        let result = result.map_err(|_| anyhow!("a client has panicked"))?;
        let (answer, status) = result?;
        println!("{job:?}: answer {answer:?}, {status}");
    }
    println!("the server: {}", describe(server));
    // ANCHOR_END: parent
    Ok(())
}

// ANCHOR: run
/// A client: sends a job with two descriptors, and reads what comes back.
fn run(socket: &OwnedFd, job: &str) -> Result<(String, String)> {
    let (mut answer, answer_end) = io::pipe()?;
    let (mut status, status_end) = io::pipe()?;
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(job.as_bytes())],
        &[ControlMessage::ScmRights(&[
            answer_end.as_raw_fd(),
            status_end.as_raw_fd(),
        ])],
        MsgFlags::empty(),
        None,
    )
    .context("cannot send the job")?;
    // With a copy of these ends open, the reads never find end of file.
    drop((answer_end, status_end));
    let answer = io::read_to_string(&mut answer)?;
    let status = io::read_to_string(&mut status)?;
    ensure!(!status.is_empty(), "the server refused the job {job:?}");
    Ok((answer, status))
}
// ANCHOR_END: run

// ANCHOR: serve
/// More jobs than these wait in the socket.
const MOST_WORKERS: usize = 64;

struct Worker {
    pid: Pid,
    /// Hangs up when the worker, its only writer, has ended.
    lifeline: PipeReader,
    status: File,
}

fn serve(socket: OwnedFd) -> Result<()> {
    let mut workers = Vec::new();
    let mut open = true;
    while open || !workers.is_empty() {
        let listen = open && workers.len() < MOST_WORKERS;
        let (ended, events) = wait_for_events(&socket, listen, &workers)?;
        for index in ended {
            report(workers.remove(index))?;
        }
        if events.is_empty() {
            continue;
        }
        let (job, fds) = receive(&socket)?;
        // An empty job may be a client's; the end of file hangs up as well.
        let empty = job.is_empty() && fds.is_empty();
        open = !(empty && events.contains(PollFlags::POLLHUP));
        let Ok([answer, status]) = <[OwnedFd; 2]>::try_from(fds) else {
            // A malformed job: its client reads an empty status.
            continue;
        };
        let mut status = File::from(status);
        let (side, lifeline, worker_end) = match fork_worker() {
            Ok(forked) => forked,
            Err(error) => {
                let _ = write!(status, "{error:#}");
                continue;
            }
        };
        match side {
            ForkResult::Child => {
                // What other clients wait to see closed is not the worker's.
                drop((socket, workers, lifeline, status));
                // Never returns: `worker_end` is open until the worker ends.
                leave(|| work(&job, answer.into()))
            }
            ForkResult::Parent { child: pid } => {
                drop(worker_end);
                workers.push(Worker {
                    pid,
                    lifeline,
                    status,
                });
            }
        }
    }
    Ok(())
}
// ANCHOR_END: serve

/// Forks; both sides get both ends of the worker's lifeline.
fn fork_worker() -> Result<(ForkResult, PipeReader, PipeWriter)> {
    let (lifeline, worker_end) = io::pipe().context("cannot make a pipe")?;
    // SAFETY: the server has one thread, so its copy may run any code.
    let side = unsafe { fork() }.context("cannot fork")?;
    Ok((side, lifeline, worker_end))
}

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
        .map(|worker| PollFd::new(worker.lifeline.as_fd(), PollFlags::empty()))
        .collect();
    if listen {
        fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
    }
    poll(&mut fds, PollTimeout::NONE)?;
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

fn report(mut worker: Worker) -> Result<()> {
    let status = describe(waitpid(worker.pid, None)?);
    // A client that is gone no longer wants to know.
    let _ = worker.status.write_all(status.as_bytes());
    Ok(())
}

/// Receives one job and its descriptors.
fn receive(socket: &OwnedFd) -> Result<(String, Vec<OwnedFd>)> {
    let mut job = [0; 256];
    // The kernel passes 253 descriptors at most. Less space than they need
    // would leave surplus ones open here, with numbers that we never learn.
    let mut space = nix::cmsg_space!([RawFd; 253]);
    let mut parts = [IoSliceMut::new(&mut job)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), FLAGS)
            .context("cannot receive a job")?;
    let mut fds = Vec::new();
    // No control message came whole: no descriptors, a malformed job.
    for item in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(raw) = item {
            // SAFETY: the kernel has made these descriptors for us.
            let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
            fds.extend(raw.into_iter().map(own));
        }
    }
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        // The job was longer than 256 bytes, and its end is lost.
        fds.clear();
    }
    let length = message.bytes;
    Ok((String::from_utf8_lossy(&job[..length]).into_owned(), fds))
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

/// Ends a forked child, whatever its task did.
fn leave(task: impl FnOnce() -> Result<()>) -> ! {
    let code = match panic::catch_unwind(AssertUnwindSafe(task)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("Error: {error:#}");
            1
        }
        Err(_) => 101,
    };
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(code) }
}

fn describe(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit status: {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("signal: {signal}"),
        other => format!("{other:?}"),
    }
}

fn start_server() -> Result<(OwnedFd, Pid)> {
    let (client, socket) = packet_pair()?;
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
const FLAGS: MsgFlags = MsgFlags::MSG_CMSG_CLOEXEC;

#[cfg(target_os = "linux")]
fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .context("cannot make a socket pair")
}

#[cfg(not(target_os = "linux"))]
const FLAGS: MsgFlags = MsgFlags::empty();

#[cfg(not(target_os = "linux"))]
fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    bail!("this program needs Linux: it uses a SEQPACKET pair")
}
// ANCHOR_END: all
