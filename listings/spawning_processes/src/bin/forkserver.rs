// ANCHOR: all
//! A forkserver: takes jobs from several clients, each with the descriptors
//! for its answer and its status, and survives the workers' failures.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg,
};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

// ANCHOR: parent
fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // First of all, while this process has one thread.
    let (socket, server) = start_server()?;

    let jobs = ["square 7", "fail", "crash", "square 12"];
    let results = thread::scope(|scope| {
        let clients = jobs.map(|job| {
            let socket = &socket;
            scope.spawn(move || run(socket, job))
        });
        clients.map(|client| client.join())
    });
    for (job, result) in jobs.iter().zip(results) {
        let result = result.map_err(|_| anyhow!("a client has panicked"))?;
        let (answer, status) = result?;
        println!("{job}: answer {answer:?}, {status}");
    }
    drop(socket);
    println!("the server: {}", describe(waitpid(server, None)?));
    Ok(())
}
// ANCHOR_END: parent

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
    // Else this process would keep its own end of file away.
    drop((answer_end, status_end));
    Ok((
        io::read_to_string(&mut answer)?,
        io::read_to_string(&mut status)?,
    ))
}
// ANCHOR_END: run

// ANCHOR: serve
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
        let (ended, packet) = wait_for_events(&socket, open, &workers)?;
        for index in ended {
            report(workers.remove(index))?;
        }
        if !packet {
            continue;
        }
        let (job, fds) = receive(&socket)?;
        open = !job.is_empty();
        let Ok([answer, status]) = <[OwnedFd; 2]>::try_from(fds) else {
            // Dropping the descriptors is the answer to a malformed job.
            continue;
        };
        let (lifeline, _worker_end) = io::pipe()?;
        // SAFETY: the server has one thread, so its copy may run any code.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Child => {
                // What other clients wait to see closed is not the worker's.
                drop((socket, workers, lifeline, status));
                leave(|| work(&job, answer.into()))
            }
            ForkResult::Parent { child } => workers.push(Worker {
                pid: child,
                lifeline,
                status: status.into(),
            }),
        }
    }
    Ok(())
}
// ANCHOR_END: serve

// ANCHOR: wait
/// Waits until workers have ended or a packet has come. Returns the ended
/// ones' indices, highest first.
fn wait_for_events(
    socket: &OwnedFd,
    open: bool,
    workers: &[Worker],
) -> Result<(Vec<usize>, bool)> {
    let mut fds: Vec<_> = workers
        .iter()
        .map(|worker| PollFd::new(worker.lifeline.as_fd(), PollFlags::empty()))
        .collect();
    if open {
        fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
    }
    poll(&mut fds, PollTimeout::NONE)?;
    let ready = |index: &usize| fds.get(*index).and_then(PollFd::any);
    let ended = (0..workers.len()).rev();
    let ended = ended.filter(|index| ready(index) == Some(true)).collect();
    Ok((ended, ready(&workers.len()) == Some(true)))
}

fn report(mut worker: Worker) -> Result<()> {
    let status = describe(waitpid(worker.pid, None)?);
    // A client that is gone no longer wants to know.
    let _ = worker.status.write_all(status.as_bytes());
    Ok(())
}
// ANCHOR_END: wait

// ANCHOR: receive
/// Receives one job and its descriptors. An empty job is the end of file.
fn receive(socket: &OwnedFd) -> Result<(String, Vec<OwnedFd>)> {
    let mut job = [0; 256];
    let mut space = nix::cmsg_space!([RawFd; 2]);
    let mut parts = [IoSliceMut::new(&mut job)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), FLAGS)
            .context("cannot receive a job")?;
    let mut fds = Vec::new();
    for item in message.cmsgs().context("more than two descriptors")? {
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
// ANCHOR_END: receive

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

// ANCHOR: leave
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
// ANCHOR_END: leave

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

// ANCHOR: linux
#[cfg(target_os = "linux")]
const FLAGS: MsgFlags = MsgFlags::MSG_CMSG_CLOEXEC;

#[cfg(target_os = "linux")]
fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .context("cannot make a socket pair")
}
// ANCHOR_END: linux

#[cfg(not(target_os = "linux"))]
const FLAGS: MsgFlags = MsgFlags::empty();

#[cfg(not(target_os = "linux"))]
fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    bail!("this program needs Linux: it uses a SEQPACKET pair")
}
// ANCHOR_END: all
