//! What is typed, and what it is taken for.

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_sound() {
    <Arguments as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn allow_partial_takes_its_value_only_after_an_equals_sign() {
    let how = |flag: &str| {
        let parsed = parse(&format!("swath run p.toml -i in -o out {flag}")).unwrap();
        let Command::Run(args) = parsed.command else { panic!("not run") };
        args.job.allow_partial
    };
    assert_eq!(how("--allow-partial"), Some(PartialArchive::Omit));
    assert_eq!(how("--allow-partial=omit"), Some(PartialArchive::Omit));
    assert_eq!(how("--allow-partial=blank:7"), Some(PartialArchive::Blank(7)));
    assert!(parse("swath run p.toml -i in -o out --allow-partial=blank:x").is_err());
}

#[test]
fn a_worker_is_given_its_command_as_it_was_typed() {
    let typed = "run -i in -o out --progress json -- p.toml";
    let parsed = parse(&format!("swath worker {typed}")).unwrap();
    let Command::Worker { arguments } = parsed.command else { panic!("no worker") };
    assert!(arguments.iter().eq(typed.split(' ')), "{arguments:?}");
}

#[test]
fn a_deadline_is_a_span_of_time() {
    let deadline = |flag: &str| {
        let parsed = parse(&format!("swath run p.toml -i in -o out {flag}"))?;
        let Command::Run(args) = parsed.command else { panic!("not run") };
        Ok::<_, clap::Error>(args.deadline)
    };
    assert_eq!(deadline("--deadline 12h").unwrap(), Some(Span::of_seconds(43_200)));
    assert_eq!(deadline("").unwrap(), None);
    let error = deadline("--deadline 12").unwrap_err().to_string();
    assert!(error.contains("`12` has no unit; write e.g. 12h"), "{error}");
    assert!(deadline("--deadline 0s").is_err() && deadline("--deadline soon").is_err());
}

#[test]
fn times_to_wait_have_units_or_count_seconds_and_what_is_left_out_is_what_the_run_takes() {
    let times = |flags: &str| {
        let parsed = parse(&format!("swath run p.toml -i in -o out {flags}"))?;
        let Command::Run(args) = parsed.command else { panic!("not run") };
        Ok::<_, clap::Error>([args.grace, args.stall_timeout, args.job.decode_timeout].map(|span| span.0))
    };
    assert_eq!(times("").unwrap(), [TimeLimits::GRACE, TimeLimits::STALL, Decode::TIMEOUT]);
    let given = times("--grace 20s --stall-timeout 0 --decode-timeout 2m").unwrap();
    assert_eq!(given, [20, 0, 120].map(Duration::from_secs));
    assert_eq!(times("--grace 1").unwrap()[0], Duration::from_secs(1));
    for flags in ["--grace 25h", "--decode-timeout 0", "--decode-timeout 1d", "--stall-timeout=-1"] {
        assert!(times(flags).is_err(), "{flags}");
    }
}

#[test]
fn devices_are_a_list() {
    let Command::Run(args) = parse("swath run p.toml -i a b -o out --devices cpu,cuda:3").unwrap().command else {
        panic!("not run")
    };
    assert_eq!(args.devices, Some(vec![DeviceId::Cpu, DeviceId::Cuda(3)]));
    assert_eq!(args.job.input.len(), 2);
}
