"""The paper's experiments: what each one varies, its scale, and the results.

| file | what is in it |
|---|---|
| `study.py` | `python examples/studies table1 --scale smoke` |
| `plan.py` | the parts of a study: its lines, and how they are evaluated |
| `table.py` | the paper's tables and figures: a few lines of settings each, and its numbers |
| `formulas.py` | which formula? all of them at equal budget |
| `scales.py` | smoke, small, gpu, full: the settings for your machine |
| `lab.py` | the runs: done once, shared between studies, resumed where they stopped |
| `report.py` | the rows of a study as CSV and as a table |
| `charts.py` | the rows of a study as a figure |
| `filters.py` | Figure 6: first filters and Grad-CAM |
"""
