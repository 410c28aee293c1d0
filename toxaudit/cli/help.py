"""What ``toxaudit --help`` prints."""

HELP = """\
toxaudit: is a fine-tuned language model less safe than its base, where, by how much, and how sure are we?

Start here:
  toxaudit audit=quickstart            audit two real fine-tunes of a small model (5 to 10 minutes, no GPU)
  toxaudit audit=quick base.pretrained=BASE candidates.it=CANDIDATE
                                       ask a quick question about one fine-tune, without a file of your own
  toxaudit init my_audit               write audits/my_audit.yaml, a commented spec to fill in

Audit:
  toxaudit audit=NAME [KEY=VALUE ...]  run an audit: generate, score, estimate, decide, write card and report
  toxaudit plan audit=NAME             say what a run would do, how long it takes, and how it will probably decide
  toxaudit show audit=NAME             print the whole spec, with every default filled in
  toxaudit ls [GROUP]                  list the names that a spec can choose, and who brings them
  toxaudit train audit=NAME            make only the candidates that an audit tunes or merges itself
  toxaudit counterfactuals audit=NAME  let a generator model write sentences, as rows that recipes and suites read
  toxaudit compare BASE CANDIDATE      decide by results of lm-eval, Inspect, garak, promptfoo and others

Read and decide (RUN is a folder, such as runs/quickstart):
  toxaudit view [FOLDER]               open a page of all runs: verdicts, trends, two runs side by side
  toxaudit runs [FOLDER]               list the finished runs: audit, day, verdict, decision, size
  toxaudit diff RUN RUN                print what differs between two runs, in spec, files and results
  toxaudit card RUN                    write card, plots and report of a run anew
  toxaudit gate RUN [gate=NAME]        decide a run again, by its own rule or another, from its stored posteriors
  toxaudit label RUN                   label some of its answers, so that a rerun corrects the scorer

Release:
  toxaudit push RUN --repo ORG/NAME    send a run's card and results to the Hub, as a pull request
  toxaudit keygen FILE                 make a pair of keys to sign decisions with
  toxaudit signoff RUN --as NAME --key FILE
                                       sign a decision on a run
  toxaudit verify RUN --key FILE.pub   check a signed decision, of a run or of a repository on the Hub
  toxaudit discover ORG/NAME           list a base's most downloaded variants on the Hub

Look after:
  toxaudit doctor                      print a page on where toxaudit runs, for a bug report, without secrets
  toxaudit completion bash|zsh|fish    print a script by which the shell completes commands, names, keys and runs
  toxaudit gc [RUN]                    say what in the store no run needs any more; --delete removes it
  toxaudit export [RUN]                write the stored completions and scores as lines of JSON
  toxaudit calibrate scorer=NAME data=FILE positive=LABEL
                                       count a scorer's errors against human labels
  toxaudit calibrate-statistics        measure anew how often the statistics err, on simulated audits

`toxaudit COMMAND --help` says more of each. Overrides are Hydra's, the same for every command:
  suite=[a,b]  gate.margin=0.01  suites.rtp_categories.limit=70  generation.temperature=0.7
  -m generation.temperature=0,0.7      run once for each value, into multirun/NAME/TIME/0, 1, ...

Exit codes: 0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 error, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
Those of verdicts can be others: --exit-codes no-go=10,inconclusive=0, or TOXAUDIT_EXIT_CODES.
Finished work is kept in ~/.cache/toxaudit (TOXAUDIT_HOME).
"""


class Help(Exception):
    """A help text was asked for: its message is printed, and nothing else is done."""
