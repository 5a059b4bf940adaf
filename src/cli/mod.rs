//! The command line: `args` is what was typed, `resolve` turns it into requests of [`crate::app`], `exit` maps what became of
//! them to exit codes.

mod args;
mod bench;
mod data;
mod engine;
mod exit;
mod launch;
#[cfg(not(feature = "torch"))]
mod no_networks;
mod part;
mod pseudo;
mod resolve;
mod shard;
mod talk;
mod train;
mod tune;
mod values;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use clap::Parser;
use serde::Serialize;

#[cfg(feature = "torch")]
use crate::app as networks;
use crate::app::{
    self, AblateRequest, Amount, Ended, ExportForm, JobRequest, MosaicRequest, Output, Reported, Saved, SelectRequest,
};
use crate::exit::ExitCode;
use crate::flow::panic_message;
use crate::lifecycle::{self, SupervisorLink};
use crate::report::{self, CheckRow, Detail, Event, Page, PrintError, ProgressForm, RunReport, Show};
use crate::words::absolute;
use args::{
    Arguments, Command, DirArgs, EvalArgs, GcArgs, JobArgs, ModelsCommand, MosaicArgs, ResumeArgs, RunArgs, VizArgs,
    WeightsCommand,
};
#[cfg(not(feature = "torch"))]
use no_networks as networks;
use part::MergeArgs;
use talk::TalkArgs;

/// Runs the program with the arguments that it was called with, and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error).into(),
    };
    // A panic of this thread is a bug like one of a worker: told as an error, with its place.
    let outcome = catch_unwind(AssertUnwindSafe(|| start(parsed, arguments.get(1..).unwrap_or_default())));
    match outcome.unwrap_or_else(|payload| Err(app::Error::Internal(panic_message(payload.as_ref())))) {
        Ok(code) => code,
        Err(error) => {
            report::tell_error(&error);
            error.exit_code().into()
        }
    }
}

/// What is asked. From here on it speaks to programs, if it is to.
fn parse(arguments: &[OsString]) -> Result<Command, clap::Error> {
    let Arguments { command } = Arguments::try_parse_from(arguments)?;
    let talk = if let Command::Run(RunArgs { talk, .. }) | Command::Resume(ResumeArgs { talk, .. }) = &command {
        Some(talk)
    } else if let Command::Train(args) = &command {
        Some(&args.talk)
    } else if let Command::Merge(args) = &command {
        Some(&args.talk)
    } else {
        None
    };
    if talk.is_some_and(|talk| talk.progress == ProgressForm::Json) {
        report::speak_json();
    }
    Ok(command)
}

/// Prints help, a version or a complaint.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = report::unless_closed(error.print());
    match (error.use_stderr(), printed) {
        (true, _) => ExitCode::Usage,
        (false, Ok(())) => ExitCode::Done,
        (false, Err(refused)) => {
            report::tell_error(&refused);
            ExitCode::Output
        }
    }
}

/// What one of the items that a run works on is called.
const ITEM: &str = "scene";

/// Does what is asked in this process, or in one that is started again when it dies.
fn start(asked: Command, arguments: &[OsString]) -> Result<u8, app::Error> {
    let watching = if let Command::Run(RunArgs { watching, .. }) | Command::Resume(ResumeArgs { watching, .. }) = &asked
    {
        Some(watching)
    } else if let Command::Train(args) = &asked {
        Some(&args.watching)
    } else if let Command::Merge(args) = &asked {
        Some(&args.watching)
    } else {
        None
    };
    if watching.is_some_and(|watching| !watching.no_supervise) {
        let arguments = [&[OsString::from("worker")], arguments].concat();
        return Ok(lifecycle::supervise(&arguments, ITEM)?);
    }
    command(asked, arguments, SupervisorLink::default()).map(u8::from)
}

/// Does what is asked for the process that started this one.
fn worker(arguments: &[OsString]) -> Result<ExitCode, app::Error> {
    let asked = match parse(&[&[OsString::from("swath")], arguments].concat()) {
        Ok(asked) => asked,
        Err(error) => return Ok(usage(&error)),
    };
    match command(asked, arguments, SupervisorLink::of_parent()?) {
        Err(error @ app::Error::DeviceLost { .. }) => {
            report::tell_error(&error);
            Ok(ExitCode::RestartForDevice)
        }
        ended => ended,
    }
}

fn command(asked: Command, arguments: &[OsString], supervisor: SupervisorLink) -> Result<ExitCode, app::Error> {
    match asked {
        Command::Run(args) => run(&args, arguments, supervisor),
        Command::Merge(args) => merge(&args, texts(arguments), supervisor),
        Command::Worker { arguments } => worker(&arguments),
        Command::Plan(args) => {
            let (job, options) = resolve::plan(&args)?;
            let document = app::plan(&job, &options)?;
            show(&document, args.json, document.text())?;
            Ok(if document.refused.is_empty() { ExitCode::Done } else { ExitCode::ScenesFailed })
        }
        Command::Shard(args) => shard::shard(args),
        Command::Decoder => {
            app::decoder()?;
            Ok(ExitCode::Done)
        }
        Command::Doctor => {
            let diagnosis = app::doctor();
            report::print(&diagnosis.text())?;
            Ok(if diagnosis.problems().is_empty() { ExitCode::Done } else { ExitCode::Usage })
        }
        Command::Synth(args) => {
            for line in app::synth(&resolve::synth(args))? {
                report::print(&format!("{line}\n"))?;
            }
            Ok(ExitCode::Done)
        }
        Command::Eval(args) => eval(args),
        Command::Viz(args) => viz(args),
        Command::PseudoLabel(args) => pseudo::pseudo_label(args),
        Command::Data(command) => data::data(command),
        Command::Train(args) => train::train(*args, texts(arguments), supervisor),
        Command::Status(args) => {
            if let Some(shared) = app::shared_status(&args.dir)? {
                show(&shared, args.json, shared.text())?;
                return Ok(ExitCode::Done);
            }
            if let Some(training) = app::training_status(&args.dir)? {
                show(&training, args.json, training.text())?;
                return Ok(ExitCode::Done);
            }
            let standing = app::status(&args.dir)?;
            show(&standing, args.json, standing.text())?;
            Ok(ExitCode::Done)
        }
        Command::Report(args) => report(&args),
        Command::Verify(args) => {
            let verified = app::verify(&args.dir)?;
            show(&verified, args.json, verified.text())?;
            Ok(if verified.damaged.is_empty() { ExitCode::Done } else { ExitCode::ScenesFailed })
        }
        Command::Models(command) => models(command),
        Command::Weights(command) => weights(command),
        Command::Bench(command) => bench::bench(command),
        Command::Launch(command) => launch::launch(*command),
        Command::Tune(args) => tune::tune(args),
        Command::Profiles(command) => tune::profiles(command),
        Command::Resume(args) => again(&args.dir, args.talk, supervisor),
        Command::Gc(args) => gc(args),
        Command::Mosaic(args) => mosaic(args),
    }
}

fn eval(mut args: EvalArgs) -> Result<ExitCode, app::Error> {
    let json = args.json;
    let again = args.ablate.take().map(|dir| (dir, true)).or_else(|| args.select.take().map(|dir| (dir, false)));
    if let Some((dir, ablates)) = again {
        // Looking up the command changes the folder that relative paths are relative to.
        let (out, truth) = (Output { path: absolute(&dir), overwrite: args.overwrite }, absolute(&args.truth));
        let (job, truth) = (recorded(&absolute(&args.masks))?.job()?, resolve::truth(truth, args.truth_args));
        if ablates {
            let found = app::ablate(&AblateRequest { job, truth, out })?;
            show(&found, json, found.text())?;
        } else {
            let found = app::select(&SelectRequest { job, truth, out })?;
            show(&found, json, found.text())?;
        }
        return Ok(ExitCode::Done);
    }
    let (evaluation, classes) = app::eval(&resolve::eval(args))?;
    if json {
        evaluation.hints.iter().for_each(|hint| report::tell(&Event::Note { text: &format!("hint: {hint}") }));
    }
    show(&evaluation, json, evaluation.text(classes.as_ref()))?;
    let complete = evaluation.missing.is_empty() && evaluation.mismatched.is_empty();
    Ok(if complete { ExitCode::Done } else { ExitCode::ScenesFailed })
}

fn viz(args: VizArgs) -> Result<ExitCode, app::Error> {
    let json = args.json;
    let report = app::viz(&resolve::viz(args))?;
    show(&report, json, report.text())?;
    Ok(if report.failed.is_empty() { ExitCode::Done } else { ExitCode::ScenesFailed })
}

fn report(args: &DirArgs) -> Result<ExitCode, app::Error> {
    let Reported { report, page } = app::report(&args.dir)?;
    if let Err(error) = &page {
        report::tell(&Event::Warning { text: &app::no_page(error, &args.dir) });
    }
    let (dir, html) = (args.dir.display().to_string(), page.as_deref().ok());
    show(&report, args.json, report::summary(&report, &dir, html, Detail::Normal, Page::of_stdout()))?;
    Ok(ExitCode::Done)
}

fn mosaic(MosaicArgs { dir, out, include, overwrite }: MosaicArgs) -> Result<ExitCode, app::Error> {
    report::print(&app::mosaic(&MosaicRequest { dir, out: Output { path: out, overwrite }, include })?)?;
    Ok(ExitCode::Done)
}

fn gc(args: GcArgs) -> Result<ExitCode, app::Error> {
    // Looking up the command changes the folder that relative paths are relative to.
    let dir = absolute(&args.dir);
    let removed = if args.outputs {
        app::collect_old_outputs(&dir)?
    } else {
        let last = if args.all { None } else { Some(recorded(&dir)?) };
        let keep = last.map(Making::job).transpose()?;
        app::collect_garbage(&dir, keep.as_ref())?
    };
    report::print(&removed)?;
    Ok(ExitCode::Done)
}

fn models(command: ModelsCommand) -> Result<ExitCode, app::Error> {
    match command {
        ModelsCommand::List { json } => {
            let list = app::list_models();
            show(&list, json, list.text())?;
            Ok(ExitCode::Done)
        }
        ModelsCommand::Show { name, size, json } => {
            let sheet = networks::show_model(&name, size)?;
            show(&sheet, json, sheet.text())?;
            Ok(ExitCode::Done)
        }
        ModelsCommand::Export { name, weights, out, classes: Some(classes), seed, .. } => {
            let out = resolve::output(out);
            report::print(&networks::start_model(&name, classes, &weights, seed, &out)?.text())?;
            Ok(ExitCode::Done)
        }
        ModelsCommand::Export { name, weights, out, folded, .. } => {
            let out = resolve::output(out);
            let form = if folded { ExportForm::Folded } else { ExportForm::Plain };
            let spec = networks::export_model(&name, &weights, form, &out)?;
            let (classes, bands) = (spec.classes, spec.bands);
            report::print(&format!("{}: {spec}, {classes} classes, {bands} bands\n", out.path.display()))?;
            Ok(ExitCode::Done)
        }
        ModelsCommand::Check { dir, names, trace, json } => {
            let (mut rows, mut printed) = (Vec::new(), Ok(()));
            if !json {
                report::print(&CheckRow::header())?;
            }
            let all = networks::check_models(&dir, &names, trace, |row| match json {
                true => rows.push(row.clone()),
                false if printed.is_ok() => printed = report::print(&row.text()),
                false => {}
            })?;
            printed?;
            if json {
                report::print_json(&rows)?;
            }
            Ok(if all { ExitCode::Done } else { ExitCode::Internal })
        }
    }
}

fn weights(command: WeightsCommand) -> Result<ExitCode, app::Error> {
    match command {
        WeightsCommand::Inspect { file, pipeline: true, .. } => {
            report::print(&app::bundled_pipeline(&file)?)?;
            Ok(ExitCode::Done)
        }
        WeightsCommand::Inspect { file, all, which, json, pipeline: false } => {
            let sheet = app::inspect_weights(&file, resolve::selection(which))?;
            show(&sheet, json, if all { sheet.full_text() } else { sheet.text() })?;
            Ok(ExitCode::Done)
        }
        WeightsCommand::Convert { file, out, which, dtype, pipeline, settings } => {
            let out = resolve::output(out);
            let said = pipeline.map(|pipeline| app::said_by(&pipeline, &settings, &file)).transpose()?;
            let n = app::convert_weights(&file, resolve::selection(which), dtype, said.unwrap_or_default(), &out)?;
            report::print(&format!("{}: {n} tensors\n", out.path.display()))?;
            Ok(ExitCode::Done)
        }
        WeightsCommand::Compress {
            files,
            out,
            overwrite,
            budget,
            bits,
            lossless: _,
            data,
            pipeline,
            truth,
            of_truth,
            tiles,
            device,
            json,
        } => {
            let out = Output { path: out, overwrite };
            let truth = truth.map(|truth| resolve::truth(truth, of_truth));
            let amount = match (budget, bits) {
                (Some(budget), _) => Amount::Budget(budget.0),
                (None, Some(bits)) => Amount::Bits(bits),
                (None, None) => Amount::Lossless,
            };
            let compressed = match pipeline.map(|pipeline| resolve::drift(pipeline, data, truth, tiles, device)) {
                Some(data) => networks::compress_measured(&files, amount, &out, &data)?,
                None => app::compress_weights(&files, amount, &out)?,
            };
            show(&compressed, json, compressed.text())?;
            Ok(ExitCode::Done)
        }
        WeightsCommand::Diff { first, second, which, json } => {
            let (difference, differs) = app::diff_weights(&first, &second, resolve::selection(which))?;
            show(&difference, json, difference.text())?;
            Ok(if differs { ExitCode::Internal } else { ExitCode::Done })
        }
    }
}

/// Prints a document for programs or for people.
fn show(document: &impl Serialize, json: bool, text: String) -> Result<(), PrintError> {
    if json { report::print_json(document) } else { report::print(&text) }
}

/// A command's arguments as they are recorded.
fn texts(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

fn run(args: &RunArgs, arguments: &[OsString], supervisor: SupervisorLink) -> Result<ExitCode, app::Error> {
    let arguments = texts(arguments);
    let mut job = resolve::job(&args.job, args.devices.clone(), Some(&args.out))?;
    // Nothing is kept where everything is forgotten. Who is started again goes on with what the first attempt took.
    job.retune = (job.retune || args.fresh) && !supervisor.attempt().begun;
    job.show = talk::show(args.talk);
    let options = resolve::run(args, arguments, supervisor);
    if let (Some(part), Some(plan)) = (args.part.part()?, &args.job.plan) {
        job.what = part.what(Saved { file: plan.clone(), root: args.job.input_root.clone() });
        let options = part.options(&args.part, plan, options);
        return part_done(&app::run(&job, &options)?, talk::show(args.talk));
    }
    let ended = app::run(&job, &options)?;
    let printed = conclude(&ended, talk::show(args.talk));
    Ok(summed_up(&ended, printed))
}

/// The end of a run of a part: which scenes have failed the merge tells.
fn part_done(ended: &Ended, show: Show) -> Result<ExitCode, app::Error> {
    let dir = ended.out.display().to_string();
    if show.progress == ProgressForm::Json {
        let totals = &ended.report.totals;
        report::tell(&Event::Finished { totals, archive: None, report: &format!("{dir}/{}", app::RECORDS_FOLDER) });
    } else if show.detail > Detail::Quiet {
        report::print(&report::shard_summary(&ended.report, &dir, show.detail, Page::of_stdout()))?;
    }
    Ok(if ended.report.missing.is_empty() { ExitCode::Done } else { ExitCode::OutOfTime })
}

fn merge(args: &MergeArgs, arguments: Vec<String>, supervisor: SupervisorLink) -> Result<ExitCode, app::Error> {
    let ended = app::merge(&part::merge(args, arguments, supervisor))?;
    let printed = conclude(&ended, talk::show(args.talk));
    Ok(summed_up(&ended, printed))
}

/// The exit code of a run whose summary was printed or not. What it did is recorded by now, and what its own code tells weighs more.
fn summed_up(ended: &Ended, printed: Result<(), PrintError>) -> ExitCode {
    let code = exit::of(&ended.report);
    let Err(refused) = printed else { return code };
    report::tell_error(&refused);
    report::tell(&Event::Recorded { report: &ended.out.join("report.json").display().to_string() });
    if code == ExitCode::Done { ExitCode::Output } else { code }
}

/// Tells what became of a run.
fn conclude(ended: &Ended, show: Show) -> Result<(), PrintError> {
    let dir = ended.out.display().to_string();
    let Show { progress, detail } = show;
    if progress == ProgressForm::Json {
        let RunReport { totals, package, .. } = &ended.report;
        report::tell(&Event::Finished { totals, archive: package.as_ref(), report: &format!("{dir}/report.json") });
    } else if detail > Detail::Quiet {
        return report::print(&report::summary(&ended.report, &dir, ended.page.as_deref(), detail, Page::of_stdout()));
    }
    Ok(())
}

/// A command that makes a run directory.
enum Making {
    Run(Box<RunArgs>),
    Merge(Box<MergeArgs>),
}

impl Making {
    /// What it plans, anew.
    fn job(self) -> Result<JobRequest, app::Error> {
        match self {
            Self::Run(last) => resolve::job(&last.job, last.devices.clone(), Some(&last.out)),
            Self::Merge(last) => Ok(part::job(&last)),
        }
    }
}

/// The command that a run directory was last made by, in the folder that it ran in.
fn recorded(dir: &Path) -> Result<Making, app::Error> {
    let arguments = app::recorded_command(dir)?;
    let parsed = Arguments::try_parse_from(std::iter::once("swath".to_owned()).chain(arguments));
    match parsed.map(|a| a.command) {
        // The measurements that it took then are those that the directory keeps.
        Ok(Command::Run(args)) => {
            Ok(Making::Run(Box::new(RunArgs { job: JobArgs { retune: false, ..args.job }, ..args })))
        }
        Ok(Command::Merge(args)) => Ok(Making::Merge(args)),
        _ => Err(app::Error::Usage(format!("`{}` holds no command that this version understands", dir.display()))),
    }
}

fn again(dir: &Path, talk: TalkArgs, supervisor: SupervisorLink) -> Result<ExitCode, app::Error> {
    let dir = absolute(dir);
    let arguments: Vec<OsString> = app::recorded_command(&dir)?.into_iter().map(OsString::from).collect();
    match recorded(&dir)? {
        // It goes on where that command came to; it does not begin, or stop, where that did.
        Making::Run(last) => {
            run(&RunArgs { fresh: false, from: None, until: None, talk, ..*last }, &arguments, supervisor)
        }
        Making::Merge(last) => merge(&MergeArgs { talk, ..*last }, texts(&arguments), supervisor),
    }
}
