"""Find the clean part of a generated dataset: keep, review or reject every image, with evidence and a way back.

    python filter_images.py images/                                        # only report: filtered/report.html
    python filter_images.py images/ --action copy                          # and sort copies of the images
    python filter_images.py images/ --audit 60                             # and look at 60 of each band, at random
    python filter_images.py images/ --decisions decisions.csv --action move
    python filter_images.py images/ --model runs/NAME/best.pt              # a detector of your own
    python filter_images.py images/ --export coco --export masks           # where the artifacts are, for other tools
    python filter_images.py --undo

INPUT: folders (with everything below), images, .tar shards, lists of paths (.txt, one a line), or - for paths on
standard input. filtered/ gets scores.csv (every image, or why it could not be used), report.html (the review page)
and summary.json. The run can be killed at any point: run it again and it ends as if it had not been. Share it among
processes with `torchrun --nproc-per-node=N filter_images.py ...`; --out must be a folder that all of them see.

Exit codes: 0 done; 1 done, but some files could not be used or placed (listed); 2 wrong usage, or nothing usable.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from artifact_detection.detector.checkpoints import Checkpoint, CheckpointError
from artifact_detection.detector.device import DeviceError, device_errors, pick_device
from artifact_detection.detector.scoring import SHIPPED, Scorer, load_predictor
from artifact_detection.evaluation.bands import KEEP, REJECT
from artifact_detection.filtering import (
    acceptance,
    actions,
    calibration,
    export,
    int8,
    looking,
    policy,
    promises,
    sample,
    stages,
    store,
    summary,
)
from artifact_detection.filtering.decisions import DecisionError, Decisions, read_decisions
from artifact_detection.filtering.engine import choose_engine
from artifact_detection.filtering.inputs import InputError, Inputs, Item, in_earlier_order, read_items, write_items
from artifact_detection.filtering.options import parse_arguments
from artifact_detection.filtering.report import REPORT, write_report
from artifact_detection.filtering.results import SCORES, Judged, judge_all, write_scores
from artifact_detection.system.files import is_replaceable
from artifact_detection.system.locks import FolderBusyError, exclusive_lock
from artifact_detection.system.manifest import NAME, Manifest, ManifestError
from artifact_detection.system.memory import keep_freed_memory
from artifact_detection.system.output import run_script
from artifact_detection.system.ownership import NotOursError
from artifact_detection.system.paths import WORK, printable
from artifact_detection.system.processes import Crew, join_crew

MAKER = "filter_images"
ITEMS = "items.csv"
MEND = "`git checkout -- pretrained` brings it back, or pass --model"
RESULTS = (SCORES, summary.SUMMARY, REPORT, NAME, sample.SAMPLE, sample.RECORD, *export.FILES, *actions.LISTS.values())
EXPECTED_ERRORS = (
    actions.ActionError, policy.PolicyError, sample.SampleError, CheckpointError, DecisionError, FolderBusyError,
    InputError, DeviceError, ManifestError, NotOursError,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments, __doc__)
    sys.stdout.reconfigure(errors="backslashreplace")  # a name must not stop a run on a terminal without UTF-8
    try:
        if options.undo:
            return undo(options)
        keep_freed_memory(large=False)
        pick_device(options.device)  # before anything is made or looked for
        with join_crew() as crew, device_errors("--batch"):
            return run(options, crew)
    except EXPECTED_ERRORS as error:
        print(f"filter_images: {error}", file=sys.stderr)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"filter_images: {error.strerror or error}{where}. No file is lost; run it again", file=sys.stderr)
    except sqlite3.DatabaseError as error:
        scores_go = f"Delete its *{store.SUFFIX}; only scores go"
        remedy = scores_go if store.is_damage(error) else "No file is lost; run it again"
        print(f"filter_images: {options.out / WORK}: {error}. {remedy}", file=sys.stderr)
    except KeyboardInterrupt:
        print("filter_images: stopped. No file is lost; run it again to go on", file=sys.stderr)
        return 130
    return 2


def run(options: argparse.Namespace, crew: Crew) -> int:
    scorer = load_scorer(options)
    rules = choose_policy(options, scorer.checkpoint)
    if crew.leads:
        actions.make_folder(options.out)
    with exclusive_lock(options.out) if crew.leads else nullcontext():
        if crew.leads:
            manifest = actions.take_folder(options.out, MAKER, RESULTS)
            found = gather(options, manifest)
            before = sample.read_sample(options.out)
        crew.wait()
        items = found.items if crew.leads else read_items(options.out / WORK / ITEMS)
        agreement = choose_engine(options, crew, scorer, items, rules.edges())
        try:
            rules, judged = score_and_judge(options, crew, scorer, agreement, items)
        except sqlite3.DatabaseError as error:
            if not store.is_damage(error) or crew.world > 1:
                raise
            work = options.out / WORK
            print(f"filter_images: the scores in {work} are damaged ({error}): all are scored again", file=sys.stderr)
            store.forget_all(work)
            rules, judged = score_and_judge(options, crew, scorer, agreement, items)
        if not crew.leads:
            return 0
        return finish(options, manifest, scorer, rules, found, judged, before)


def load_scorer(options: argparse.Namespace) -> Scorer:
    """The scorer of the chosen checkpoint, or of the one in pretrained/. Raises CheckpointError, ActionError."""
    try:
        scorer = load_predictor(options.model or SHIPPED, options.device, options.precision, options.batch)
    except CheckpointError as error:
        if options.model:
            raise
        raise CheckpointError(f"the detector that ships with this project cannot be used ({error}): {MEND}") from error
    if options.export and not scorer.has_regions:
        raise actions.ActionError("--export needs a detector that sees regions, such as one trained with --inject")
    return scorer


def choose_policy(
    options: argparse.Namespace, checkpoint: Checkpoint, records: Iterable[store.Record] | None = None
) -> policy.Policy:
    """The rules for these records; None: the images are not scored yet, the bands are a first guess."""
    decisions = read_decisions(options.decisions) if options.decisions else Decisions()
    if options.threshold:
        return policy.Policy(policy.manual_bands(options.threshold), False, decisions)
    wanted = {"clean_rejected": options.max_clean_loss, "artifacts_kept": options.max_artifacts_left}
    decided = read_decisions(options.calibrate) if options.calibrate else None
    if decided is not None and records is None:
        return policy.Policy(policy.NO_BANDS, False)
    if decided is not None:
        drawn = sample.read_sample(options.out)
        return calibration.calibrated_policy(records, decided, drawn, **wanted, decisions=decisions)
    scores = None if records is None else np.array([one.probability for one in records if one.probability is not None])
    wanted |= {"prevalence": options.prevalence, "without_promise": options.without_promise}
    return promises.promised_policy(checkpoint, scores, **wanted, decisions=decisions)


def gather(options: argparse.Namespace, manifest: Manifest[actions.Placement]) -> Inputs:
    """Find the images and write down which they are, in the order of the run that this one may go on with."""
    items = options.out / WORK / ITEMS
    found = Inputs.scan(options.inputs, options.out)
    actions.refuse(options.action, found.items)
    folders = [path for path in options.inputs if os.path.isdir(path)]
    roots = [*folders, *{os.path.dirname(item.origin) for item in found.items}]
    manifest.own.admit(roots, write=False)
    earlier = actions.read_placements(manifest)
    manifest.refuse_strange(earlier)  # before anything is read on its word
    if export.MASKS in options.export:
        export.claim_masks(options.out, MAKER)
    found.items = in_earlier_order(found.items, read_items(items), actions.places(manifest.folder, earlier))
    if not found.items:
        raise InputError(f"no image in {', '.join(options.inputs)}")
    write_items(items, found.items)
    manifest.own.admit(roots)
    return found


def store_key(scorer: Scorer) -> str:
    """Scores of another model, or of other arithmetic, lie elsewhere."""
    return f"{scorer.model_id}-{scorer.engine.name}"


def score_and_judge(
    options: argparse.Namespace, crew: Crew, scorer: Scorer, agreement: int8.Agreement | None, items: list[Item]
) -> tuple[policy.Policy, list[Judged]]:
    """Score what is not scored yet, this process' share of it, and look again where that was asked for."""
    work, key, threads = options.out / WORK, store_key(scorer), crew.threads
    if crew.leads and store.earlier_versions(work):
        text = f"filter_images: the scores in {work} are of an earlier version: images are scored again"
        print(text, file=sys.stderr)
    with store.Store(store.database(work, key, crew.rank)) as own:
        with store.Stores(work, key) as stores:
            batches = stages.pending_batches(items, stores, scorer.batch)
        crew.wait()
        stages.score_batches(scorer, batches[crew.rank :: crew.world], own, options.gallery > 0, threads)
    crew.wait()
    with store.Stores(work, key) as stores:
        rules, edges = choose_policy(options, scorer.checkpoint, stores.light(items)), None
        # Bands from one's own images hold for the scores as they are, whoever gave them.
        while agreement and not options.calibrate and edges != rules.edges():
            edges, scorer.margin = rules.edges(), agreement.margin(rules.edges())
            todo = stages.near_an_edge(judge_all(items, stores, rules), rules, scorer.margin)
            stages.rescore_near_thresholds(scorer, stages.share(todo, stores, crew), stores, threads)
            crew.wait()
            rules = choose_policy(options, scorer.checkpoint, stores.light(items))
        if options.stability is not None:
            todo = stages.borderline(judge_all(items, stores, rules), rules, options.stability)
            stages.rescore(scorer, stages.share(todo, stores, crew), stores, threads)
            crew.wait()
        if options.gallery and options.heatmaps and not scorer.has_regions:  # a dense head has given its own map
            todo = stages.most_doubtful(judge_all(items, stores, rules), options.heatmaps)
            stages.add_heatmaps(scorer, stages.share(todo, stores, crew), stores, threads)
            crew.wait()
        return rules, judge_all(items, stores, rules) if crew.leads else []


def finish(
    options: argparse.Namespace, manifest: Manifest[actions.Placement], scorer: Scorer, rules: policy.Policy,
    found: Inputs, judged: list[Judged], before: sample.AuditSample | None,
) -> int:  # fmt: skip
    """Write the results, do what was asked with the images, say how it went; return the exit code."""
    write_scores(options.out, judged, scorer.model_id)
    problems = []
    if options.action == "list":
        problems = actions.write_lists(judged, options.out, b"\0" if options.null else b"\n")
    elif options.action != "report":
        problems = actions.place(judged, manifest, options.action, scorer.model_id)
    groups = sample.by_band(judged, rules)
    drawn = sample.update(options.out, before, groups, options.audit, rules, scorer.model_id)
    facts = summary.summarize(judged, found, rules, scorer, problems, audit(options, drawn, groups, rules))
    summary.write(options.out, facts)
    places = [f"scores: {options.out / SCORES}"]
    looked_up = options.export or options.gallery
    moved = actions.places(manifest.folder, actions.read_placements(manifest)) if looked_up else {}
    for name in dict.fromkeys(options.export):
        places.append(f"{name}: {export.WRITERS[name](options.out, judged, moved, scorer.model_id)}")
    if options.gallery:
        todo = looking.choose(judged, groups, drawn, rules.decisions, scorer.checkpoint.threshold)
        with store.Stores(options.out / WORK, store_key(scorer)) as stores:
            page = write_report(
                options.out, judged, stores, rules, lines=facts.lines(), method=facts.small_print(),
                comparisons=facts.comparisons, places=moved, model=scorer.model_id,
                limit=options.gallery, todo=todo,
            )  # fmt: skip
        places.append(f"review page: {page}")
    elif is_replaceable(options.out / REPORT):
        (options.out / REPORT).unlink(missing_ok=True)  # of an earlier run, with other numbers
    print(
        facts.text(), *places, actions.next_step(options.action, bool(rules.decisions) or not options.gallery), sep="\n"
    )
    unusable = facts.bands["error"]
    if unusable == len(judged):
        return 2
    return int(bool(unusable or problems))


def audit(
    options: argparse.Namespace, drawn: sample.AuditSample | None, groups: dict[str, list[Judged]], rules: policy.Policy
) -> acceptance.AuditStatement | None:
    """What the decisions on the random sample say, which is written down: a later sample has to count it."""
    wanted = {KEEP: options.max_artifacts_left, REJECT: options.max_clean_loss}
    found = None if options.calibrate else acceptance.audit(drawn, groups, rules.decisions, wanted)
    said = rules.certified if options.calibrate else found and found.bounds
    if drawn and said and not drawn.stated:
        sample.write_record(options.out, replace(drawn, stated=True))
    return found


def undo(options: argparse.Namespace) -> int:
    if not (options.out / NAME).is_file():
        raise actions.ActionError(f"nothing to undo: no {NAME} in {options.out}")
    with exclusive_lock(options.out):
        manifest = actions.take_folder(options.out, MAKER)
        done, left = actions.undo(manifest, options.restore_to and options.restore_to.resolve())
    print(f"put back {done} images" + "".join(f"\n  {printable(line)}" for line in left))
    return int(bool(left))


if __name__ == "__main__":
    run_script(main)
