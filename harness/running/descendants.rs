//! Finding, killing and reaping whatever a program has started.
//!
//! Linux gives the calling process its orphaned descendants (see
//! `PR_SET_CHILD_SUBREAPER` in prctl(2)) and lists every process in `/proc`.
//! Elsewhere only the program's own process group is checked.

use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// A process found among the descendants of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descendant {
    pub pid: Pid,
    /// As in `/proc/PID/stat`: `R` running, `S` sleeping, `Z` zombie, …
    pub state: char,
    /// The command line, or the short name where there is none (zombies).
    pub command: String,
}

impl fmt::Display for Descendant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            'Z' => write!(f, "zombie, never waited for: {}", self.command),
            _ => write!(f, "still running: {}", self.command),
        }
    }
}

/// Waits for `child` and lists what it has left at the moment of its end.
///
/// An orphan that ended before `child` did is reaped and not listed.
///
/// # Errors
/// If `child` is not a child of this process.
#[cfg(target_os = "linux")]
pub fn wait_for(child: Pid) -> nix::Result<(WaitStatus, Vec<Descendant>)> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    loop {
        let first = waitid(Id::All, ended)?.pid();
        let status = waitid(Id::Pid(child), ended | WaitPidFlag::WNOHANG)?;
        if status == WaitStatus::StillAlive {
            if let Some(orphan) = first {
                waitpid(orphan, None)?;
            }
            continue;
        }
        // The kernel hands a dead process's children over before it reports
        // the death, and the child itself is not reaped yet: nothing can
        // appear or vanish between its end and this look.
        let mut left = all();
        left.retain(|process| process.pid != child);
        return Ok((waitpid(child, None)?, left));
    }
}

#[cfg(not(target_os = "linux"))]
pub fn wait_for(child: Pid) -> nix::Result<(WaitStatus, Vec<Descendant>)> {
    let status = waitpid(child, None)?;
    let left = match killpg(child, None) {
        Ok(()) => vec![Descendant {
            pid: child,
            state: 'R',
            command: "a process of the program's group".to_owned(),
        }],
        Err(_) => Vec::new(),
    };
    Ok((status, left))
}

/// Makes this process the parent of every descendant that loses its own.
///
/// # Errors
/// If the kernel refuses (it has done so only before Linux 3.4).
pub fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

/// Every descendant that has not ended.
pub fn running() -> Vec<Descendant> {
    let mut found = all();
    found.retain(|process| process.state != 'Z');
    found
}

/// Sends SIGKILL to the program's group and to every descendant found.
/// Returns those that were still running.
pub fn kill_all(group: Pid) -> Vec<Descendant> {
    let found = running();
    // An error means that there is nobody left to kill.
    let _ = killpg(group, Signal::SIGKILL);
    for process in &found {
        let _ = kill(process.pid, Signal::SIGKILL);
    }
    found
}

/// Reaps children until there are none.
///
/// # Errors
/// If waiting fails for another reason than that no child is left.
pub fn reap_all() -> nix::Result<()> {
    loop {
        match waitpid(None::<Pid>, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Every descendant of this process, zombies included.
fn all() -> Vec<Descendant> {
    let mut family = vec![Pid::this()];
    let mut others = processes();
    let mut found = Vec::new();
    // Repeat until nothing is added: /proc is not listed parents first.
    loop {
        let (inside, outside): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|process| family.contains(&process.parent));
        if inside.is_empty() {
            return found;
        }
        family.extend(inside.iter().map(|process| process.pid));
        found.extend(inside.into_iter().map(Descendant::from));
        others = outside;
    }
}

fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .collect()
}

/// Reads `/proc/PID/stat`: `PID (name) state parent …`, see proc_pid_stat(5).
/// The name may hold blanks and brackets, so the last bracket counts.
fn process(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process {
        pid: Pid::from_raw(pid),
        parent: Pid::from_raw(parent),
        state,
        name: before.split_once('(')?.1.to_owned(),
    })
}

/// Any process of this machine.
struct Process {
    pid: Pid,
    parent: Pid,
    state: char,
    /// At most 15 bytes: see proc_pid_comm(5).
    name: String,
}

impl From<Process> for Descendant {
    /// Asks for the whole command line, which would take too long for all.
    fn from(process: Process) -> Descendant {
        let file = format!("/proc/{}/cmdline", process.pid);
        let command = std::fs::read(file).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Descendant {
            pid: process.pid,
            state: process.state,
            command: match command.trim() {
                "" => process.name,
                line => line.to_owned(),
            },
        }
    }
}
