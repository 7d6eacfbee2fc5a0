"""Arbitrary registry resources that follow the field rules."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from services.content.model import Approval, EffectClass, ReasoningEffort, Sampling
from services.registry.core.model import (
    Agent,
    AgentEndpoint,
    AnthropicAdapter,
    ApprovalRule,
    BuiltinAdapter,
    BuiltinFault,
    BuiltinFaultKind,
    BuiltinReply,
    BuiltinStep,
    BuiltinTool,
    BuiltinToolCall,
    EnvCredential,
    FileCredential,
    GrpcAdapter,
    GrpcTransport,
    HomeStrategy,
    HttpHeader,
    MemberRole,
    MidStream,
    Modality,
    Model,
    ModelCapabilities,
    ModelPool,
    ModelPrices,
    OpenAiAdapter,
    PoolBreaker,
    PoolClocks,
    PoolMember,
    PoolRetry,
    PoolRouting,
    PoolStickiness,
    PoolSwitch,
    Provider,
    Resource,
    ReturnHome,
    StickyScope,
    TokenLimitField,
    Tool,
    WorkerExecutor,
)

# Few, so that they meet: a model and a pool of one name, a tool that two agents use.
IDS = ("a", "b", "c", "🚀/%")
_ids = st.sampled_from(IDS)
_texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
_header_texts = st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), max_size=12)
_bools = st.booleans()


def _spans(least_s: float, most_s: float) -> st.SearchStrategy[timedelta]:
    return st.timedeltas(timedelta(seconds=least_s), timedelta(seconds=most_s))


_credentials = st.none() | st.sampled_from([EnvCredential("API_KEY"), FileCredential("/run/key")])
_headers = st.lists(
    st.builds(HttpHeader, st.sampled_from(["x-a", "x-b"]), st.just("v"))
    | st.just(HttpHeader("x-c", None, EnvCredential("KEY"))),
    unique_by=lambda header: header.name,
    max_size=3,
).map(tuple)
_replies = st.builds(
    BuiltinReply,
    _texts,
    st.lists(st.builds(BuiltinToolCall, _ids, st.just("{}")), max_size=2).map(tuple),
    _texts,
)
_faults = st.builds(
    BuiltinFault,
    st.sampled_from(BuiltinFaultKind),
    st.none() | _spans(0, 60),
    st.integers(0, 9),
    _texts,
)
_steps = st.builds(
    BuiltinStep,
    _replies | _faults,
    st.sampled_from(["", "hi (?P<name>.*)"]),
    st.none() | st.integers(0, 3),
    st.sampled_from(["", "upstream"]),
)
_openai = st.builds(
    OpenAiAdapter, _header_texts, _header_texts, st.sampled_from(TokenLimitField), _bools, _headers
)
_vendors = _openai | st.builds(
    AnthropicAdapter, st.just("2023-06-01"), st.just(("beta",)), _headers
)


def providers(ids: st.SearchStrategy[str] = _ids) -> st.SearchStrategy[Provider]:
    builtin = st.builds(BuiltinAdapter, st.lists(_steps, max_size=2).map(tuple), _spans(0, 60))
    grpc = st.builds(GrpcAdapter, st.sampled_from(GrpcTransport), st.sampled_from(["", "host"]))
    common = {"credential_ref": _credentials, "timeout": _spans(1, 3600)}
    url = st.sampled_from(["", "https://models.example/v1"])
    return st.one_of(
        st.builds(Provider, ids, builtin, **common),
        st.builds(Provider, ids, _vendors, url, **common),
        st.builds(Provider, ids, grpc, st.just("models:50051"), **common),
    )


_price = st.sampled_from(["", "0", "0.15", "12"])


def models(
    ids: st.SearchStrategy[str] = _ids, providers_: st.SearchStrategy[str] = _ids
) -> st.SearchStrategy[Model]:
    return st.builds(
        Model,
        ids,
        providers_,
        st.just("upstream"),
        context_window=st.none() | st.integers(1000, 9000),
        max_output_tokens=st.none() | st.integers(1, 1000),
        modalities=st.sets(st.sampled_from(Modality), min_size=1).map(tuple),
        capabilities=st.none()
        | st.builds(ModelCapabilities, _bools, _bools, _bools, _bools, _bools),
        prices=st.none() | st.builds(ModelPrices, st.just("EUR"), _price, _price, _price, _price),
        cache_ttl=_spans(0, 86_400),
        knowledge_cutoff=st.sampled_from(["", "2025-01"]),
    )


def pools(
    ids: st.SearchStrategy[str] = _ids, members: st.SearchStrategy[str] = _ids
) -> st.SearchStrategy[ModelPool]:
    member = st.builds(PoolMember, members, st.integers(1, 9), st.sampled_from(MemberRole))
    return st.builds(
        ModelPool,
        ids,
        st.lists(member, min_size=1, max_size=3, unique_by=lambda each: each.model_id)
        .filter(lambda found: any(each.role is MemberRole.MEMBER for each in found))
        .map(tuple),
        st.builds(PoolRouting, st.sampled_from(HomeStrategy), st.sampled_from(StickyScope)),
        st.builds(
            PoolSwitch,
            _bools,
            _bools,
            _bools,
            _bools,
            st.none() | _spans(0, 60),
            st.none() | st.integers(0, 3),
        ),
        st.builds(PoolBreaker, st.integers(1, 9), _spans(1, 60), st.integers(1, 9)),
        st.builds(PoolStickiness, _spans(1, 60), st.sampled_from(ReturnHome)),
        st.builds(PoolRetry, st.integers(0, 3)),
        st.builds(PoolClocks, _spans(1, 60), _spans(1, 60), st.none() | _spans(1, 60)),
        st.sampled_from(MidStream),
    )


def agents(
    ids: st.SearchStrategy[str] = _ids,
    targets: st.SearchStrategy[str] = _ids,
    tools_: st.SearchStrategy[str] = _ids,
) -> st.SearchStrategy[Agent]:
    return st.builds(
        Agent,
        ids,
        targets,
        _texts,
        st.lists(tools_, max_size=2, unique=True).map(tuple),
        st.lists(
            st.builds(ApprovalRule, tools_ | st.just("*"), st.sampled_from(Approval)), max_size=2
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
        | st.builds(AgentEndpoint, st.just("https://agents.example"), _credentials, _spans(1, 60)),
    )


def tools(ids: st.SearchStrategy[str] = _ids) -> st.SearchStrategy[Tool]:
    approvals = st.sampled_from(Approval)
    timeouts = st.none() | _spans(1, 60)
    worker = st.builds(WorkerExecutor, st.sampled_from(["", "gpu"]))
    return st.one_of(
        st.builds(Tool, ids, st.sampled_from(BuiltinTool), approval=approvals, timeout=timeouts),
        st.builds(
            Tool,
            ids,
            worker,
            _texts,
            st.sampled_from(["", '{"type": "object"}']),
            st.none() | st.sampled_from(EffectClass),
            approvals,
            timeouts,
        ),
    )


def resources() -> st.SearchStrategy[Resource]:
    """Any kind; what it refers to may not exist."""
    return st.one_of(providers(), models(), pools(), agents(), tools())
