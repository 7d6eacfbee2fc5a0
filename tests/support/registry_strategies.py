"""Arbitrary registry resources that follow the field rules."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from services.content.model import Approval, EffectClass, ReasoningEffort, Sampling
from services.registry.core import model as m
from services.registry.core.executors import BuiltinTool, WorkerExecutor
from services.registry.core.refs import Kind, Ref

# Few, so that they meet: a model and a pool of one name, a tool that two agents use.
IDS = ("a", "b", "c", "🚀/%")
EVERY_REF = [Ref(kind, id_) for kind in Kind for id_ in IDS]
# What edits may refer to, so that more of them pass than are refused.
REFERRED_TO: tuple[m.Resource, ...] = (
    *(m.Provider(id_, m.BuiltinAdapter()) for id_ in IDS),
    *(m.Tool(id_, WorkerExecutor()) for id_ in IDS),
    *(m.Model(id_, "a", "upstream") for id_ in IDS[:2]),
)
_ids = st.sampled_from(IDS)
_texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
_header_texts = st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), max_size=12)
_bools = st.booleans()


def _spans(least_s: float, most_s: float) -> st.SearchStrategy[timedelta]:
    return st.timedeltas(timedelta(seconds=least_s), timedelta(seconds=most_s))


_credentials = st.none() | st.sampled_from(
    [m.EnvCredential("API_KEY"), m.FileCredential("/run/key")]
)
_headers = st.lists(
    st.builds(m.HttpHeader, st.sampled_from(["x-a", "x-b"]), st.just("v"))
    | st.just(m.HttpHeader("x-c", None, m.EnvCredential("KEY"))),
    unique_by=lambda header: header.name,
    max_size=3,
).map(tuple)
_replies = st.builds(
    m.BuiltinReply,
    _texts,
    st.lists(st.builds(m.BuiltinToolCall, _ids, st.just("{}")), max_size=2).map(tuple),
    _texts,
)
_faults = st.builds(
    m.BuiltinFault,
    st.sampled_from(m.BuiltinFaultKind),
    st.none() | _spans(0, 60),
    st.integers(0, 9),
    _texts,
)
_steps = st.builds(
    m.BuiltinStep,
    _replies | _faults,
    st.sampled_from(["", "hi (?P<name>.*)"]),
    st.none() | st.integers(0, 3),
    st.sampled_from(["", "upstream"]),
)
_openai = st.builds(
    m.OpenAiAdapter,
    _header_texts,
    _header_texts,
    st.sampled_from(m.TokenLimitField),
    _bools,
    _headers,
    st.lists(
        st.builds(m.QueryParameter, st.sampled_from(["api-version", "b"]), _header_texts),
        max_size=2,
        unique_by=lambda parameter: parameter.name,
    ).map(tuple),
)
_vendors = _openai | st.builds(
    m.AnthropicAdapter, st.just("2023-06-01"), st.just(("beta",)), _headers
)


def providers() -> st.SearchStrategy[m.Provider]:
    builtin = st.builds(m.BuiltinAdapter, st.lists(_steps, max_size=2).map(tuple), _spans(0, 60))
    grpc = st.builds(m.GrpcAdapter, st.sampled_from(m.GrpcTransport), st.sampled_from(["", "host"]))
    common = {"credential_ref": _credentials, "timeout": _spans(1, 3600)}
    url = st.sampled_from(["", "https://models.example/v1"])
    return st.one_of(
        st.builds(m.Provider, _ids, builtin, **common),
        st.builds(m.Provider, _ids, _vendors, url, **common),
        st.builds(m.Provider, _ids, grpc, st.just("models:50051"), **common),
    )


_price = st.sampled_from(["", "0", "0.15", "12"])


def models() -> st.SearchStrategy[m.Model]:
    return st.builds(
        m.Model,
        _ids,
        _ids,
        st.just("upstream"),
        context_window=st.none() | st.integers(1000, 9000),
        max_output_tokens=st.none() | st.integers(1, 1000),
        modalities=st.sets(st.sampled_from(m.Modality), min_size=1).map(tuple),
        capabilities=st.none()
        | st.builds(m.ModelCapabilities, _bools, _bools, _bools, _bools, _bools),
        prices=st.none() | st.builds(m.ModelPrices, st.just("EUR"), _price, _price, _price, _price),
        cache_ttl=_spans(0, 86_400),
        knowledge_cutoff=st.sampled_from(["", "2025-01"]),
    )


def pools() -> st.SearchStrategy[m.ModelPool]:
    member = st.builds(m.PoolMember, _ids, st.integers(1, 9), st.sampled_from(m.MemberRole))
    return st.builds(
        m.ModelPool,
        _ids,
        st.lists(member, min_size=1, max_size=3, unique_by=lambda each: each.model_id)
        .filter(lambda found: any(each.role is m.MemberRole.MEMBER for each in found))
        .map(tuple),
        st.builds(m.PoolRouting, st.sampled_from(m.HomeStrategy), st.sampled_from(m.StickyScope)),
        st.builds(
            m.PoolSwitch,
            _bools,
            _bools,
            _bools,
            _bools,
            st.none() | _spans(0, 60),
            st.none() | st.integers(0, 3),
        ),
        st.builds(m.PoolBreaker, st.integers(1, 9), _spans(1, 60), st.integers(1, 9)),
        st.builds(m.PoolStickiness, _spans(1, 60), st.sampled_from(m.ReturnHome)),
        st.builds(m.PoolRetry, st.integers(0, 3)),
        st.builds(m.PoolClocks, _spans(1, 60), _spans(1, 60), st.none() | _spans(1, 60)),
        st.sampled_from(m.MidStream),
    )


def agents() -> st.SearchStrategy[m.Agent]:
    return st.builds(
        m.Agent,
        _ids,
        _ids,
        _texts,
        st.lists(_ids, max_size=2, unique=True).map(tuple),
        st.lists(
            st.builds(m.ApprovalRule, _ids | st.just("*"), st.sampled_from(Approval)), max_size=2
        ).map(tuple),
        st.integers(1, 99),
        st.none() | st.integers(1, 99),
        st.builds(
            Sampling,
            st.none() | st.floats(0, 2),
            st.none() | st.floats(0.1, 1),
            st.none() | st.integers(1, 99),
            st.sampled_from([(), ("stop",)]),
            st.none() | st.integers(-9, 9),
            st.none() | st.sampled_from(ReasoningEffort),
        ),
        st.none()
        | st.builds(
            m.AgentEndpoint, st.just("https://agents.example"), _credentials, _spans(1, 60)
        ),
    )


def tools() -> st.SearchStrategy[m.Tool]:
    approvals = st.sampled_from(Approval)
    timeouts = st.none() | _spans(1, 60)
    worker = st.builds(WorkerExecutor, st.sampled_from(["", "gpu"]))
    return st.one_of(
        st.builds(
            m.Tool,
            _ids,
            st.sampled_from(BuiltinTool),
            approval=approvals,
            timeout=timeouts,
            approval_timeout=timeouts,
        ),
        st.builds(
            m.Tool,
            _ids,
            worker,
            _texts,
            st.sampled_from(["", '{"type": "object"}']),
            st.none() | st.sampled_from(EffectClass),
            approvals,
            timeouts,
            timeouts,
        ),
    )


def resources() -> st.SearchStrategy[m.Resource]:
    """Any kind; what it refers to may not exist."""
    return st.one_of(providers(), models(), pools(), agents(), tools())
