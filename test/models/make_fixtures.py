"""Makes engine/model/testdata: small models, rows, and what the library that trained them answers for these rows.

    python3 -m venv v && v/bin/pip install scikit-learn==1.9.1 lightgbm==4.7.0 xgboost==3.2.0 numpy==2.4.6
    v/bin/python test/models/make_fixtures.py

Each model NAME.txt or NAME.json has NAME.expect.json: x (rows, null is missing), score and, where the library tells them,
margin, proba (by class), contrib (by row: for each class the features and last the base), class.
"""

import json
import os
import sys
import warnings

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from sklearn.cluster import KMeans
from sklearn.ensemble import ExtraTreesClassifier, IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from export import export  # noqa: E402

warnings.filterwarnings("ignore")
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "engine", "model", "testdata")
FEATURES = ["bytes", "packets", "ratio", "port_class", "zeros", "noise"]
ROWS = 8

rng = np.random.default_rng(7)
N = 1500
X = np.column_stack([
    rng.lognormal(8, 2, N), rng.poisson(20, N), rng.normal(0, 1, N), rng.integers(0, 12, N), np.where(rng.random(N) < 0.6, 0, rng.normal(0, 2, N)),
    rng.normal(0, 1e-3, N)])
signal = np.log(X[:, 0]) - 8 + 0.1 * (X[:, 1] - 20) + X[:, 2] + np.isin(X[:, 3], [1, 4, 7, 11]) * 1.5 + X[:, 4]
Y = signal + rng.normal(0, 0.3, N)
B = (Y > np.median(Y)).astype(int)
M = np.digitize(Y, np.quantile(Y, [0.3, 0.7]))
POS = np.exp(Y / 4)
COUNT = rng.poisson(POS)
MISSING = X.copy()
MISSING[rng.random(X.shape) < 0.08] = np.nan
CAT = 3  # column of categories

# Rows that were not trained with: odd ones included.
TEST = X[rng.permutation(N)[:ROWS]] * rng.choice([1, 1, 1.01], (ROWS, len(FEATURES)))
TEST[:, CAT] = rng.integers(0, 12, ROWS)
TEST_MISSING = TEST.copy()
TEST_MISSING[rng.random(TEST.shape) < 0.2] = np.nan
TEST_MISSING[0, :] = np.nan
TEST_MISSING[1, CAT] = 40
TEST_MISSING[2, CAT] = -1
TEST_MISSING[3, CAT] = 3.7
TEST_MISSING[4, 4] = 1e-36
TEST_MISSING[5, CAT] = 400
TEST_MISSING[6, CAT] = 3.99999999999
TEST_MISSING[7, CAT] = -0.5


def clean(a, digits=False):
    if isinstance(a, np.ndarray):
        a = a.astype(float).tolist()
    if isinstance(a, list):
        return [clean(v, digits) for v in a]
    return None if np.isnan(a) else float(f"{a:.13g}") if digits else a


def expect(name, x, **kinds):
    with open(os.path.join(OUT, name + ".expect.json"), "w") as f:
        json.dump({"x": clean(x), **{k: clean(v, k == "contrib") for k, v in kinds.items() if v is not None}}, f, separators=(",", ":"))
        f.write("\n")


def edges(thresholds, rows):
    """Rows whose values lie on thresholds, given as (feature, threshold), or beside them by less than 32 bits can tell."""
    out = rows[-5:].copy()
    for row, side in zip(out, [0, 1e-9, -1e-9, 1e-8, -1e-8]):
        for f in range(len(FEATURES)):
            own = [t for g, t in thresholds if g == f and abs(t) < 1e30]
            if own and f != CAT:
                row[f] = own[rng.integers(len(own))] * (1 + side)
    return np.vstack([rows, out])


def gbm_thresholds(node):
    if "split_feature" in node:
        if node["decision_type"] == "<=":
            yield node["split_feature"], node["threshold"]
        yield from gbm_thresholds(node["left_child"])
        yield from gbm_thresholds(node["right_child"])


def contributions(a, classes):
    """By row and class."""
    a = np.asarray(a)
    return a.reshape(len(a), classes, -1)


def sklearn_models():
    def save(name, model, x, **kinds):
        path = os.path.join(OUT, name + ".json")
        export(model, FEATURES, path)
        with open(path) as f:
            j = json.load(f)
        if "trees" in j and "float32" in j:
            x = edges([p for t in j["trees"] for p in zip(t["feature"], t["threshold"])], x)
        expect(name, x, **{k: f(x) for k, f in kinds.items()})

    def index(m):
        return lambda x: np.array([list(m.classes_).index(c) for c in m.predict(x)])

    def positive(m):
        return lambda x: m.predict_proba(x)[:, 1]

    m = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, B)
    save("sk_logistic", m, TEST, score=positive(m), margin=m.decision_function, **{"class": m.predict})
    m = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression()).fit(MISSING, M)
    save("sk_multinomial", m, TEST_MISSING, proba=m.predict_proba, **{"class": m.predict})
    m = LinearRegression().fit(X, Y)
    save("sk_linear", m, TEST, score=m.predict)
    m = RandomForestClassifier(5, max_depth=5, random_state=1).fit(MISSING, np.array(["benign", "scan", "malware"])[M])
    save("sk_forest_multi", m, TEST_MISSING, proba=m.predict_proba, **{"class": index(m)})
    m = ExtraTreesClassifier(5, max_depth=5, random_state=1).fit(X, B)
    save("sk_extra_binary", m, TEST, score=positive(m), **{"class": index(m)})
    m = make_pipeline(StandardScaler(), RandomForestRegressor(3, max_depth=6, random_state=1)).fit(X, Y)
    save("sk_forest_scaled", m, TEST, score=m.predict)
    m = RandomForestRegressor(3, max_depth=6, random_state=1).fit(MISSING, Y)
    save("sk_forest_regression", m, TEST_MISSING, score=m.predict)
    m = IsolationForest(n_estimators=8, max_samples=40, max_features=0.7, contamination=0.1, random_state=1).fit(X)
    save("sk_isolation", m, TEST, score=lambda x: -m.score_samples(x), margin=m.decision_function, **{"class": lambda x: (m.predict(x) < 0) * 1})
    k = make_pipeline(StandardScaler(), KMeans(n_clusters=4, n_init=3, random_state=1)).fit(X)
    save("sk_kmeans", k, TEST, score=lambda x: k.transform(x).min(axis=1), **{"class": k.predict})


def lightgbm_models():
    def save(name, x, y, params, rounds=5, cat=True, dump=False, **dataset):
        p = {"verbosity": -1, "num_leaves": 7, "seed": 3, "deterministic": True, "num_threads": 1, "min_data_in_leaf": 10, **params}
        d = lgb.Dataset(x, y, feature_name=FEATURES, categorical_feature=[CAT] if cat else [], params={"verbosity": -1, **params}, **dataset)
        m = lgb.train(p, d, rounds)
        if dump:
            with open(os.path.join(OUT, name + ".json"), "w") as f:
                json.dump(m.dump_model(), f, separators=(",", ":"))
        else:
            text = m.model_to_string()
            if name != "lgb_regression":  # of no meaning here, and long
                text = text.split("\nparameters:")[0]
            with open(os.path.join(OUT, name + ".txt"), "w") as f:
                f.write(text)
        classes = params.get("num_class", 1)
        x = edges([p for t in m.dump_model()["tree_info"] for p in gbm_thresholds(t["tree_structure"])], TEST_MISSING)
        if params.get("zero_as_missing"):
            zero = np.tile(x[6], (5, 1))
            zero[:, 4] = [0, 1e-35, np.float64(np.float32(1e-35)), np.nextafter(np.float64(np.float32(1e-35)), 1), -1.1e-35]
            x = np.vstack([x, zero])
        if name == "lgb_category":
            x = np.tile(TEST[0], (9, 1))
            x[:, CAT] = [0, -0.5, 0.999, -1, -1.5, 1, 400, 1e9, np.nan]
        got = m.predict(x)
        average = rounds if params.get("boosting") == "rf" else 1  # raw scores and contributions are sums
        kinds = {"proba": got, "class": got.argmax(axis=1)} if classes > 1 else {"score": got, "margin": m.predict(x, raw_score=True) / average}
        kinds["contrib"] = contributions(m.predict(x, pred_contrib=True), classes) / average
        expect(name, x, **kinds)

    save("lgb_regression", MISSING, Y, {"objective": "regression"})
    save("lgb_sqrt", X, Y, {"objective": "regression", "reg_sqrt": True}, cat=False)
    save("lgb_l1", MISSING, Y, {"objective": "regression_l1"}, rounds=2)
    save("lgb_binary", MISSING, B, {"objective": "binary", "sigmoid": 1.7})
    save("lgb_binary_dump", MISSING, B, {"objective": "binary", "max_cat_to_onehot": 1}, rounds=5, dump=True)
    save("lgb_none", X, B, {"objective": "binary", "use_missing": False})
    save("lgb_zero", MISSING, B, {"objective": "binary", "zero_as_missing": True}, cat=False)
    save("lgb_zero_dump", MISSING, Y, {"objective": "regression", "zero_as_missing": True}, cat=False, rounds=4, dump=True)
    save("lgb_zero_right", X, ((X[:, 4] == 0) | (X[:, 4] > 1)) * 1.0, {"objective": "regression", "zero_as_missing": True, "num_leaves": 3}, cat=False, rounds=2)
    save("lgb_category", X, np.isin(X[:, CAT], [0, 4, 7]) + X[:, 2] / 9, {"objective": "regression", "num_leaves": 4}, rounds=2)
    save("lgb_multiclass", MISSING, M, {"objective": "multiclass", "num_class": 3}, rounds=4)
    save("lgb_ova", MISSING, M, {"objective": "multiclassova", "num_class": 3, "sigmoid": 0.8}, rounds=4)
    save("lgb_poisson", MISSING, COUNT, {"objective": "poisson"}, rounds=4)
    save("lgb_tweedie", MISSING, COUNT, {"objective": "tweedie"}, rounds=4)
    save("lgb_gamma", MISSING, POS, {"objective": "gamma"}, rounds=4)
    save("lgb_xent", MISSING, B * 0.8 + 0.1, {"objective": "cross_entropy"}, rounds=4)
    save("lgb_xentlambda", MISSING, B * 0.8 + 0.1, {"objective": "cross_entropy_lambda"}, rounds=4)
    save("lgb_rf", MISSING, B, {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, rounds=6)
    save("lgb_deep", X[:400], Y[:400], {"objective": "regression", "num_leaves": 60, "min_data_in_leaf": 1}, rounds=1)
    save("lgb_stump", X, np.ones(N), {"objective": "regression"}, rounds=2)


def xgboost_models():
    def save(name, x, y, params, rounds=4, cat=True, names=FEATURES, old=None):
        types = ["c" if cat and i == CAT else "q" for i in range(len(FEATURES))]
        d = xgb.DMatrix(x, y, feature_names=names, feature_types=types, enable_categorical=cat)
        m = xgb.train({"seed": 3, "nthread": 1, "max_depth": 3, "tree_method": "hist", **params}, d, rounds)
        path = os.path.join(OUT, name + ".json")
        m.save_model(path)
        with open(path) as f:
            j = json.load(f)
        trees = j["learner"]["gradient_booster"]
        trees = trees.get("gbtree", trees)["model"]["trees"]
        top = edges([p for t in trees for p in zip(t["split_indices"], t["split_conditions"])], TEST_MISSING)
        t = xgb.DMatrix(top, feature_names=names, feature_types=types, enable_categorical=cat)
        if old:  # the same model as older versions wrote it
            old(j["learner"]["learner_model_param"])
            with open(path, "w") as f:
                json.dump(j, f, separators=(",", ":"))
        classes = params.get("num_class", 1)
        soft = params["objective"] == "multi:softmax"
        raw = m.predict(t, output_margin=True)
        got = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True) if soft else m.predict(t)
        kinds = {"proba": got, "class": m.predict(t) if soft else got.argmax(axis=1)} if classes > 1 else {"score": got, "margin": raw}
        kinds["contrib"] = contributions(m.predict(t, pred_contribs=True), classes)
        expect(name, top, **kinds)

    def single(p):
        p["base_score"] = p["base_score"].strip("[]")

    def plain(p):
        p["base_score"] = float(p["base_score"].strip("[]"))

    save("xgb_squared", MISSING, Y, {"objective": "reg:squarederror"}, old=single)
    save("xgb_binary", MISSING, B, {"objective": "binary:logistic"})
    save("xgb_binary_base", MISSING, B, {"objective": "binary:logistic", "base_score": 0.2}, rounds=4, cat=False, names=None, old=plain)
    save("xgb_onehot", MISSING, B, {"objective": "binary:logistic", "max_cat_to_onehot": 20}, rounds=4)
    save("xgb_logitraw", MISSING, B, {"objective": "binary:logitraw", "base_score": 0.3}, rounds=4)
    save("xgb_hinge", MISSING, B, {"objective": "binary:hinge"}, rounds=4)
    save("xgb_reglogistic", MISSING, B * 0.8 + 0.1, {"objective": "reg:logistic"}, rounds=4)
    save("xgb_softprob", MISSING, M, {"objective": "multi:softprob", "num_class": 3}, rounds=2)
    save("xgb_softmax", MISSING, M, {"objective": "multi:softmax", "num_class": 3}, rounds=2)
    save("xgb_poisson", MISSING, COUNT, {"objective": "count:poisson"}, rounds=4)
    save("xgb_gamma", MISSING, POS, {"objective": "reg:gamma"}, rounds=4)
    save("xgb_tweedie", MISSING, COUNT, {"objective": "reg:tweedie"}, rounds=4)
    save("xgb_absolute", MISSING, Y, {"objective": "reg:absoluteerror"}, rounds=4)
    save("xgb_dart", MISSING, B, {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}, rounds=6)
    save("xgb_parallel", MISSING, B, {"objective": "binary:logistic", "num_parallel_tree": 3, "subsample": 0.6}, rounds=2)
    save("xgb_deep", MISSING, Y, {"objective": "reg:squarederror", "max_depth": 8}, rounds=1)


os.makedirs(OUT, exist_ok=True)
sklearn_models()
lightgbm_models()
xgboost_models()
