//! Man pages and completions of shells, as packages get them: there is one of each command, and the tools
//! that read them do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "../examples/documents.rs"]
mod documents;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Command as Known;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("causeway-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        documents::write(&folder).unwrap();
        Self(folder)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The commands below one, with the words that lead to them.
fn below(command: &Known, words: &str, all: &mut Vec<(String, Known)>) {
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        let words = format!("{words} {}", one.get_name());
        all.push((words.clone(), one.clone()));
        below(one, &words, all);
    }
}

fn all() -> Vec<(String, Known)> {
    let mut all = Vec::new();
    below(&causeway::cli::command(), "causeway", &mut all);
    all
}

#[test]
fn each_command_has_a_page_and_completions() {
    let folder = Folder::new("documents");
    let pages = fs::read_dir(folder.0.join("man/man1")).unwrap().count();
    assert_eq!(pages, all().len() + 1, "a page for each command, and one for all");
    let bash = folder.read("bash-completion/completions/causeway");
    let zsh = folder.read("zsh/vendor-completions/_causeway");
    let fish = folder.read("fish/vendor_completions.d/causeway.fish");
    for (words, command) in all() {
        let page = folder.read(&format!("man/man1/{}.1", words.replace(' ', "-")));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{words}");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            if option != "help" {
                assert!(page.contains(&option.replace('-', "\\-")), "{words}: --{option}");
            }
        }
        for text in [&bash, &zsh, &fish] {
            assert!(text.contains(command.get_name()), "{words}");
        }
    }
    let install = folder.read("man/man1/causeway-install.1");
    assert!(install.contains("causeway install \\-\\-undo"), "examples are in the page: {install}");
}

/// bash reads its file, and completes a command by it.
#[test]
fn bash_completes() {
    let folder = Folder::new("completions");
    let script = folder.0.join("bash-completion/completions/causeway");
    let completed = |words: &[&str]| {
        let asked = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _causeway causeway '{}' '{}'; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let said = Command::new("bash").args(["-c", &asked]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["causeway", "inst"]), ["install"]);
    assert_eq!(completed(&["causeway", "install", "--un"]), ["--undo"]);
    assert_eq!(completed(&["causeway", "netns", "ex"]), ["exec"]);
}

/// Whoever asks for help gets an example, of every command that is no group of others.
#[test]
fn each_command_helps_with_examples() {
    let mut lacking = Vec::new();
    for (words, command) in all() {
        if command.has_subcommands() || command.get_name() == "help" {
            continue;
        }
        let group = words.rsplit_once(' ').unwrap().0;
        let text =
            |command: &Known| command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let of_group =
            all().into_iter().find(|(words, _)| words == group).map(|(_, group)| text(&group));
        let help = text(&command) + &of_group.unwrap_or_default();
        if !help.contains(&words) {
            lacking.push(words);
        }
    }
    assert!(lacking.is_empty(), "no example in the help of {lacking:?}");
}

#[test]
fn help_is_without_colour_where_nobody_sees_it() {
    let program = Path::new(env!("CARGO_BIN_EXE_causeway"));
    let said = Command::new(program).args(["install", "--help"]).output().unwrap();
    assert!(said.status.success() && !said.stdout.contains(&0x1b), "{said:?}");
    // script makes a terminal.
    let on_a_terminal = |variable: &str| {
        let command = format!("{} install --help", program.display());
        let said = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("TERM", "xterm"), (variable, "1")])
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
        said.stdout.contains(&0x1b)
    };
    assert!(on_a_terminal("OTHER"));
    assert!(!on_a_terminal("NO_COLOR"));
}
