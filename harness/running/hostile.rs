//! Conditions in which real programs are started, and what is right under
//! each: the program does what is on record, or it says what is wrong.

use std::fmt;

/// The exit code of `under` when it has not become the program.
pub const NOT_STARTED: u8 = 125;

/// One thing that is not as a program's author found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    SigchldIgnored,
    SigtermBlocked,
    AllSignalsBlocked,
    SighupIgnored,
    SigintIgnored,
    SigtermIgnored,
    SigquitIgnored,
    /// The program's file is gone as soon as it runs.
    FileUnlinked,
    /// Its own folder, and that for temporary files.
    FolderNotUtf8,
    FolderWithNewline,
    StdinClosed,
    StdoutClosed,
    StderrClosed,
    AllClosed,
    StdoutFull,
    TmpdirMissing,
    TmpdirReadOnly,
    /// 121 bytes: too long for the address of a Unix socket.
    TmpdirLong,
    Descriptors8,
    Descriptors20,
    /// As a user who may have no further process, or three.
    Processes1,
    Processes4,
    NoFileSize,
    NoProc,
    OneCpu,
    EmptyEnvironment,
    OtherUser,
    /// As a user who holds so many pipes that new ones are small.
    SmallPipes,
    /// As process 1 of a PID namespace.
    Process1,
    /// Stopped and continued every few milliseconds.
    Stuttering,
}

use Condition::*;

/// Every condition with its name and the pattern of an error that names it.
/// Where the pattern is empty, no error is right.
const TABLE: [(Condition, &str, &str); 30] = [
    (
        SigchldIgnored,
        "sigchld_ignored",
        "No child process|SIGCHLD",
    ),
    (SigtermBlocked, "sigterm_blocked", "SIGTERM.* blocked"),
    (
        AllSignalsBlocked,
        "all_signals_blocked",
        "SIG[A-Z]+.* blocked",
    ),
    (SighupIgnored, "sighup_ignored", "SIGHUP.* ignored"),
    (SigintIgnored, "sigint_ignored", "SIGINT.* ignored"),
    (SigtermIgnored, "sigterm_ignored", "SIGTERM.* ignored"),
    (SigquitIgnored, "sigquit_ignored", "SIGQUIT.* ignored"),
    (FileUnlinked, "file_unlinked", r"\(deleted\)|No such file"),
    (FolderNotUtf8, "folder_not_utf8", "UTF-8"),
    (FolderWithNewline, "folder_with_newline", ""),
    (StdinClosed, "stdin_closed", ""),
    (StdoutClosed, "stdout_closed", ""),
    (StderrClosed, "stderr_closed", ""),
    (AllClosed, "all_closed", ""),
    (StdoutFull, "stdout_full", "No space left on device"),
    (TmpdirMissing, "tmpdir_missing", "No such file or directory"),
    (TmpdirReadOnly, "tmpdir_read_only", "Read-only file system"),
    (TmpdirLong, "tmpdir_long", "SUN_LEN|too long"),
    (Descriptors8, "descriptors_8", "Too many open files"),
    (Descriptors20, "descriptors_20", "Too many open files"),
    (
        Processes1,
        "processes_1",
        "Resource temporarily unavailable|EAGAIN",
    ),
    (
        Processes4,
        "processes_4",
        "Resource temporarily unavailable|EAGAIN",
    ),
    (NoFileSize, "no_file_size", "File too large|SIGXFSZ"),
    (NoProc, "no_proc", "/proc"),
    (OneCpu, "one_cpu", ""),
    (EmptyEnvironment, "empty_environment", ""),
    (OtherUser, "other_user", "Permission denied|not permitted"),
    (SmallPipes, "small_pipes", "not permitted"),
    (Process1, "process_1", ""),
    (Stuttering, "stuttering", ""),
];

impl Condition {
    pub fn all() -> impl Iterator<Item = Condition> {
        TABLE.iter().map(|row| row.0)
    }

    pub fn named(name: &str) -> Option<Condition> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Matches an error that names this condition as the cause. `None`: it is
    /// no reason to fail.
    pub fn cause(self) -> Option<&'static str> {
        Some(self.row().2).filter(|pattern| !pattern.is_empty())
    }

    fn row(self) -> &'static (Condition, &'static str, &'static str) {
        let row = TABLE.iter().find(|row| row.0 == self);
        row.expect("the table has every condition")
    }

    /// Whether the program runs as a user whom nobody else is.
    pub fn is_as_other_user(self) -> bool {
        matches!(self, OtherUser | Processes1 | Processes4 | SmallPipes)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for condition in Condition::all() {
            assert_eq!(Condition::named(condition.name()), Some(condition));
        }
    }
}
