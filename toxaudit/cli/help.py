"""What ``toxaudit --help`` prints."""

HELP = """\
toxaudit: is a fine-tuned language model less safe than its base, where, by how much, and how sure are we?

Start here:
  toxaudit audit=quickstart            audit two real fine-tunes of a small model (5 to 10 minutes, no GPU)
  toxaudit audit=quick base.pretrained=BASE candidates.it=CANDIDATE
                                       a quick question about one fine-tune or adapter, without a file of your own
  toxaudit init my_audit               write audits/my_audit.yaml, a commented spec to fill in

Commands:
  toxaudit audit=NAME [KEY=VALUE ...]  run an audit: generate, score, estimate, decide, write card and report
  toxaudit plan audit=NAME             what a run would do and what is stored already; loads no weights
  toxaudit train audit=NAME            make the candidates that an audit tunes or merges itself, as folders that PEFT
                                       and transformers read; the audit finds them in the store
  toxaudit counterfactuals audit=NAME  sentences that a generator model writes, as rows that recipes and suites read
  toxaudit show audit=NAME             the whole spec, every default filled in
  toxaudit card RUN                    write card, plots and report of a finished run anew, without rerunning it
                                       (card.template=FILE, card.samples=5; RUN is a folder such as runs/quickstart)
  toxaudit gate RUN [gate=NAME]        decide a finished run again, from its stored posteriors: by its own rule, or by
                                       another (gate.margin=0.02), which then stands beside its own
  toxaudit diff RUN RUN                what differs between two finished runs, in spec, files and results
  toxaudit compare BASE CANDIDATE      the same verdict, card and report from results made elsewhere: lm-eval, Inspect,
                                       garak, promptfoo, lighteval, every_eval_ever, CSV, JSONL, Parquet; runs no model
                                       (--measure NAME, --harmful high or low, scorers=[NAME, ...], gate=strict)
  toxaudit runs [FOLDER]               the finished runs: audit, day, verdict, size
  toxaudit gc [RUN]                    what of the store no run refers to, and how much it frees (--delete: remove it;
                                       --days 14: what nobody has asked for in so long; --store FOLDER)
  toxaudit export [RUN]                the completions and scores in the store, of a run or all, as lines of JSON
                                       (--out FILE, --store FOLDER)
  toxaudit ls [GROUP]                  the names a spec can choose: audits, suites, scorers, ...
  toxaudit init NAME                   write a new spec
  toxaudit discover ORG/NAME           a base's most downloaded variants on the Hub; --write FILE makes a spec of them
                                       (--kind finetune, adapter, merge or quantized; --top 10)
  toxaudit push RUN --repo ORG/NAME    send a run's card, plots and results to the model's repository on the Hub, as a
                                       pull request (--dry-run: show it; --direct: commit; --samples: completions, too;
                                       --candidate NAME, where the run has several)
  toxaudit keygen FILE                 make a pair of keys to sign decisions with
  toxaudit signoff RUN --as "Name <mail>" --key FILE
                                       sign a decision on a run (--approve, --reject; --waive RULE --reason TEXT
                                       --expires DATE; --threshold 2, where several must sign)
  toxaudit verify RUN --key FILE.pub   check a signed decision, of a run, a decision.json or ORG/NAME on the Hub
                                       (--weights DIR: and the weights; exit code 1 where it does not hold)
  toxaudit label RUN                   draw answers of a run and label them, blind to the model: with these labels a
                                       rerun corrects the scorer (--n 100; --page FILE.html, --read FILE.csv: in a
                                       browser; --rater NAME; --measure, --suite, --candidate where there are several)
  toxaudit calibrate scorer=NAME data=FILE positive=LABEL
                                       a scorer's errors against human labels, as a file that a spec can name
                                       (text=, label=, prompt=, by= name columns; out=FILE; source="what it is")
  toxaudit calibrate-statistics        rerun the study of coverage and error rates into docs/ (--quick: 3 minutes)

Overrides are Hydra's, the same for every command:
  suite=[a,b]  gate.margin=0.01  suites.rtp_categories.limit=70  generation.temperature=0.7
  -m generation.temperature=0,0.7      run once for each value, into multirun/NAME/TIME/0, 1, ...

Exit codes: 0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 error, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
Those of verdicts can be others: --exit-codes no-go=10,inconclusive=0, or TOXAUDIT_EXIT_CODES.
Finished work is kept in ~/.cache/toxaudit (TOXAUDIT_HOME).
"""


class Help(Exception):
    """A help text was asked for: its message is printed, and nothing else is done."""
