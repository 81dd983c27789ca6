"""The paper's experiments: what each one varies, how large it is run, what they found.

| file | what is in it |
|---|---|
| `study.py` | `python examples/studies table1 --scale smoke` |
| `plan.py` | what a study is: its lines, and how they are judged |
| `table.py` | the paper's tables and figures, a few lines of settings each, beside its numbers |
| `formulas.py` | which formula? all of them at equal budget |
| `score.py` | a score of categories that needs no training |
| `scales.py` | smoke, small, gpu, full: what the settings become on your machine |
| `lab.py` | the runs: done once, shared between studies, taken up where they stopped |
| `report.py` | the rows of a study as CSV and as a table |
| `charts.py` | the rows of a study as a figure |
| `filters.py` | Figure 6: first filters and Grad-CAM |
"""
