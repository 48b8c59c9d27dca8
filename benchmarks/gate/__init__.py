"""The gate: does this working tree make a hot path slower than its stored baseline?

The core is standard library only and knows nothing of the project it judges: `project.py` reads
what to judge, `contract.py` says what a suite must offer. Way of a verdict through the files:

    cli          what was asked, progress, exit code
    project      which folders, which suite
    repository   both sides' code out of git, staged side by side
    baselines    what is stored about each hot path, and whether it can be used
    measure      the order of the measurements
      harness    one worker process, seen from here
      worker     the same process, seen from inside
      counters   exact counts of one call
    rules        the numbers that separate noise from a regression
    judge        measurements -> findings
    report       findings -> table (table), sentences, JSON
    ratio        before against after, for claims and baselines
    rebaseline   moving a baseline, on purpose
"""
