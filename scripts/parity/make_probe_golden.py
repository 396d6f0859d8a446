"""Writes test/fixtures/probes/golden.json: what scikit-learn and lifelines fit on generated data.

    python scripts/parity/make_probe_golden.py test/fixtures/probes/golden.json

Needs numpy, pandas, scikit-learn (1.2 or later) and lifelines (0.27 or later). Our losses are weighted means, theirs are sums:
a penalty l2 of ours is C = 1 / (l2 * sum of weights) in scikit-learn, and l2 * sum of weights / rows in lifelines.
"""

import json
import sys

import lifelines
import numpy as np
import pandas as pd
import sklearn
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(20260122)


def features(rows, columns):
    """Standardised as lifelines does it: its penalty is on the coefficients of standardised columns."""
    x = rng.normal(size=(rows, columns))
    x[:, -1] += 0.6 * x[:, 0]
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    return x.astype(np.float32).astype(np.float64)


def listed(values):
    return [float(f"{v:.9g}") for v in np.asarray(values).ravel()]


def logistic(x, y, weights, l2, intercept):
    model = LogisticRegression(
        C=1 / (l2 * weights.sum()), solver="newton-cg", tol=1e-10, max_iter=20000, fit_intercept=intercept
    )
    return model.fit(x, y, sample_weight=weights)


def multinomial(weighted):
    x = features(90, 4)
    scores = x @ rng.normal(size=(4, 3)) + [0.5, 0.0, -0.7]
    y = np.array([rng.choice(3, p=np.exp(s) / np.exp(s).sum()) for s in scores])
    weights = rng.integers(0, 4, 90).astype(float) if weighted else np.ones(90)
    cases = []
    for l2 in [1e-3, 0.1]:
        model = logistic(x, y, weights, l2, True)
        solution = np.column_stack([model.coef_, model.intercept_ - model.intercept_.mean()])
        cases.append({"l2": l2, "weights": listed(solution)})
    return {
        "features": listed(x), "rows": 90, "columns": 4, "labels": y.tolist(), "classes": 3,
        "weights": listed(weights) if weighted else [], "fits": cases,
    }


def follow_up(x):
    """Times in whole days, so that many events are tied."""
    days = np.ceil(rng.exponential(12 * np.exp(-0.8 * x[:, 0] + 0.4 * x[:, 1])))
    ends = np.ceil(rng.uniform(1, 30, len(x)))
    return np.minimum(days, ends), days <= ends


def cox(weighted):
    x = features(80, 3)
    days, events = follow_up(x)
    weights = rng.integers(1, 4, 80).astype(float) if weighted else np.ones(80)
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(days=days, event=events, weight=weights)
    cases = []
    for l2 in [0.0, 0.01, 0.5]:
        model = lifelines.CoxPHFitter(penalizer=l2 * weights.sum() / 80, l1_ratio=0.0)
        model.fit(
            frame, "days", "event", weights_col="weight", robust=weighted,
            fit_options={"precision": 1e-13, "max_steps": 500, "step_size": 0.95},
        )
        cases.append({"l2": l2, "weights": listed(model.params_)})
    return {
        "features": listed(x), "rows": 80, "columns": 3, "times": listed(days), "events": events.astype(int).tolist(),
        "weights": listed(weights) if weighted else [], "fits": cases,
    }


def hazard(weighted):
    """A logistic regression of rows of persons and periods, an indicator for each period."""
    x = features(120, 3)
    days, events = follow_up(x)
    at_risk = np.minimum(np.ceil(days / 5), 4).astype(int)
    seen = events & (days <= 20)
    weights = rng.integers(1, 4, 120).astype(float) if weighted else np.ones(120)
    rows, y, w = [], [], []
    for i in range(120):
        for period in range(at_risk[i]):
            # scikit-learn penalises every coefficient: that of an indicator of 1e4 hardly at all.
            rows.append([*x[i], *(1e4 * (np.arange(4) == period))])
            y.append(int(seen[i] and period == at_risk[i] - 1))
            w.append(weights[i])
    cases = []
    for l2 in [1e-3, 0.1]:
        model = LogisticRegression(
            C=1 / (l2 * weights.sum()), solver="newton-cholesky", tol=1e-13, max_iter=1000, fit_intercept=False
        ).fit(np.array(rows), y, sample_weight=w)
        cases.append({"l2": l2, "weights": listed([*model.coef_[0][:3], *(1e4 * model.coef_[0][3:])])})
    return {
        "features": listed(x), "rows": 120, "columns": 3, "atRisk": at_risk.tolist(), "events": seen.astype(int).tolist(),
        "periods": 4, "weights": listed(weights) if weighted else [], "fits": cases,
    }


golden = {
    "versions": {"scikit-learn": sklearn.__version__, "lifelines": lifelines.__version__},
    **{fit.__name__: [fit(False), fit(True)] for fit in (multinomial, cox, hazard)},
}


def concordance():
    """Harrell's C of lifelines, with ties in time and score."""
    days = rng.integers(1, 12, 60).astype(float)
    events = rng.integers(0, 2, 60)
    scores = rng.integers(0, 9, 60).astype(float)
    value = lifelines.utils.concordance_index(days, -scores, events)
    return {"days": listed(days), "events": events.tolist(), "scores": listed(scores), "concordance": value}


golden["concordance"] = concordance()
with open(sys.argv[1], "w") as file:
    json.dump(golden, file)
    file.write("\n")
