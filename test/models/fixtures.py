"""Makes engine/model/testdata: models and what the libraries that trained them predict and explain.

    pip install scikit-learn==1.9.1 lightgbm==4.7.0 xgboost-cpu==3.2.0 pandas
    python3 test/models/fixtures.py
"""

import json
import os
import sys

import numpy as np
import pandas as pd

sys.path.insert(0, os.path.dirname(__file__))
import export
import lightgbm as lgb
import xgboost as xgb
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

out = os.path.join(os.path.dirname(__file__), "../../engine/model/testdata")
rng = np.random.default_rng(7)
names = ["bytes", "pkts", "age", "port", "service"]
n = 600
X = np.column_stack([rng.lognormal(8, 2, n), rng.poisson(20, n), rng.exponential(30, n), rng.integers(1, 1024, n), rng.integers(0, 12, n)]).astype(float)
signal = np.log(X[:, 0]) - 0.1 * X[:, 1] + (X[:, 4] % 3) + 0.3 * rng.normal(size=n)
y2 = (signal > np.median(signal)).astype(int)
y3 = np.digitize(signal, np.quantile(signal, [0.33, 0.66]))
positive = np.exp(signal / 4)
holes = X.copy()
holes[rng.random(X.shape) < 0.1] = np.nan
holes[:, 4] = X[:, 4]
holes[rng.random(n) < 0.05, 4] = np.nan
ask = holes[:40].copy()
ask[0] = np.nan
ask[1] = 0
ask[2] = -5
ask[3, 4] = 40
whole = X[:40]


def clean(a):
    return [[None if np.isnan(v) else float(v) for v in row] for row in a]


def write(name, rows, score, probabilities=None, contributions=None, classes=None, text=None, **more):
    case = {"input": clean(rows), "score": np.asarray(score, float).tolist(), **more}
    if probabilities is not None:
        case["probabilities"] = np.asarray(probabilities, float).tolist()
    if contributions is not None:
        case["contributions"] = np.asarray(contributions, float).tolist()
    if text is not None:
        with open(f"{out}/{name}", "w") as f:
            f.write(text)
    with open(f"{out}/{name}.expected", "w") as f:
        json.dump(case, f, separators=(",", ":"))


def sk(name, model, rows, **expected):
    export.save(model, names, f"{out}/{name}")
    write(name, rows, **expected)


m = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y2)
sk("sk-logistic.json", m, whole, score=m.predict_proba(whole)[:, 1])
m = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y3)
sk("sk-multinomial.json", m, whole, score=m.predict(whole), probabilities=m.predict_proba(whole))
m = LinearRegression().fit(X, signal)
sk("sk-linear.json", m, whole, score=m.predict(whole))
m = RandomForestClassifier(n_estimators=8, max_depth=6, random_state=1).fit(holes, y2)
sk("sk-forest.json", m, ask, score=m.predict_proba(ask)[:, 1])
m = RandomForestClassifier(n_estimators=6, max_depth=5, random_state=1).fit(holes, y3)
sk("sk-forest3.json", m, ask, score=m.predict(ask), probabilities=m.predict_proba(ask))
m = RandomForestRegressor(n_estimators=6, max_depth=5, random_state=1).fit(holes, signal)
sk("sk-forest-regression.json", m, ask, score=m.predict(ask))
m = IsolationForest(n_estimators=12, max_samples=64, contamination=0.05, random_state=1).fit(X)
odd = np.vstack([whole, [[1e9, 5000, 1e5, 1, 11]]])
sk("sk-isolation.json", m, odd, score=-m.score_samples(odd), decision=m.decision_function(odd).tolist())
m = make_pipeline(StandardScaler(), KMeans(n_clusters=4, n_init=3, random_state=1)).fit(X)
sk("sk-kmeans.json", m, whole, score=m.predict(whole), distance=m.transform(whole).min(axis=1).tolist())

frame = pd.DataFrame(holes, columns=names)
for objective, y in [("binary", y2), ("multiclass", y3), ("multiclassova", y3), ("regression", signal), ("poisson", positive), ("cross_entropy", y2), ("regression_l1", signal)]:
    p = {"objective": objective, "num_leaves": 8, "verbose": -1, "min_data_in_leaf": 10, "seed": 1, "deterministic": True, "num_threads": 1}
    if objective.startswith("multiclass"):
        p["num_class"] = 3
    if objective == "binary":
        p["sigmoid"] = 0.7
    if objective == "regression":
        p["reg_sqrt"] = True
    if objective == "regression_l1":
        p.update(boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    if objective == "poisson":
        p["zero_as_missing"] = True
    if objective == "cross_entropy":
        p["use_missing"] = False
    b = lgb.train(p, lgb.Dataset(frame, y, categorical_feature=["service"], free_raw_data=False), 6)
    f = pd.DataFrame(ask, columns=names)
    got, contributions = b.predict(f), b.predict(f, pred_contrib=True)
    expected = {"contributions": contributions}
    if objective.startswith("multiclass"):
        expected.update(score=np.argmax(got, axis=1), probabilities=got)
    else:
        expected["score"] = got
    write(f"lgb-{objective}.txt", ask, text=b.model_to_string(), **expected)
    if objective in ("binary", "multiclass"):
        write(f"lgb-{objective}.json", ask, text=json.dumps(b.dump_model()), **expected)

cat = frame.copy()
cat["service"] = pd.Categorical(cat["service"], categories=range(12))
for objective, y, booster in [("binary:logistic", y2, "gbtree"), ("multi:softprob", y3, "gbtree"), ("reg:squarederror", signal, "dart"), ("count:poisson", positive, "gbtree"),
                              ("binary:hinge", y2, "gbtree"), ("reg:gamma", positive, "gbtree")]:
    p = {"objective": objective, "max_depth": 4, "tree_method": "hist", "max_cat_to_onehot": 2, "seed": 1, "nthread": 1, "booster": booster}
    if objective == "multi:softprob":
        p["num_class"] = 3
    if booster == "dart":
        p["rate_drop"] = 0.3
    b = xgb.train(p, xgb.DMatrix(cat, y, enable_categorical=True), 6)
    rows = ask.copy()
    rows[2, 4], rows[3, 4] = 11, 3  # XGBoost refuses categories that training had not
    f = pd.DataFrame(rows, columns=names)
    f["service"] = pd.Categorical(f["service"], categories=range(12))
    d = xgb.DMatrix(f, enable_categorical=True)
    got, contributions = b.predict(d), b.predict(d, pred_contribs=True)
    expected = {"contributions": contributions.reshape(len(rows), -1)}
    if objective == "multi:softprob":
        expected.update(score=np.argmax(got, axis=1), probabilities=got)
    else:
        expected["score"] = got
    name = "xgb-" + objective.replace(":", "-") + ".json"
    b.save_model(f"{out}/{name}")
    write(name, rows, **expected)
