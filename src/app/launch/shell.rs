//! Shell scripts: words in quotes, files inside a script, and a process that is waited for and told to end.

use crate::words::shell_word;

/// What ends a file inside a script. No line of a job file is this.
const END: &str = "END_OF_JOB_FILE";

/// A command.
pub(super) fn command(words: &[String]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// A script beside the job files that submits them.
pub(super) fn submission(lines: &str) -> String {
    format!(
        "#!/bin/sh\n# Written by swath launch. Gives the files beside it to the engine.\nset -eu\nfolder=$(dirname -- \"$0\")\n{lines}"
    )
}

/// The same with the files inside.
pub(super) fn printed(files: &[(&'static str, String)], lines: &str) -> String {
    let file = |(name, content): &(&str, String)| format!("cat >\"$folder/{name}\" <<'{END}'\n{content}{END}\n");
    let files: String = files.iter().map(file).collect();
    format!(
        "#!/bin/sh\n# Written by swath launch. Gives the files in it to the engine: pipe it to sh.\nset -eu\n\
         folder=$(mktemp -d)\ntrap 'rm -rf \"$folder\"' EXIT\n{files}{lines}"
    )
}

/// Lines that run a command and set `code` to its exit code. What `tells` says is done when the shell gets a TERM; `$pid` is the command's.
pub(super) fn attended(command: &str, tells: &str) -> String {
    format!(
        r#"pid= told=
stop() {{
    told=1
    [ -z "$pid" ] || {tells}
}}
trap stop TERM
{command} &
pid=$!
[ -z "$told" ] || stop
wait "$pid" && code=0 || code=$?
# A signal ends a wait early. What has been waited for to its end is not known any more.
while [ -n "$told" ]; do
    told=
    wait "$pid" && last=0 || last=$?
    [ "$last" -eq 127 ] || code=$last
done
"#
    )
}
