"""The gate: does this working tree make a hot path slower than its stored baseline?

The core is standard library only and knows nothing of the project it judges: `project.py` reads
what to judge, `contract.py` says what a suite must offer. Way of a verdict through the files:

    cli            what was asked, progress, exit code
    project        which folders, which suite
      foreign      any project with an asv suite (unstaged: what it is refused for; asv_suite)
    repository     both sides' code out of git, staged side by side
    baselines      what is stored about each hot path, and whether it can be used
    reach          which hot paths can import a changed file (imports: what a file imports)
    measuring      the order of the measurements
      exact        counts and agreement, on one core
      pairs        CPU and wall time of both sides at once, on the other (clocks, metronome)
      ratio        before against after, for claims and baselines
      harness      one worker process, seen from here (own: the gate's own code for it)
      worker       the same process, seen from inside
      instruments  counters (strace), callgrind (compiled), memory
    outcome        what was measured of one case
    rules          the numbers that separate noise from a regression
    judge          measurements -> findings
    evidence       what findings were made of; grown: what grew
    report         findings -> table, sentences, JSON
      view         a stored report, for html (html_path, html_style, strip), junit, markdown
    rebaseline     moving a baseline, on purpose
"""
