# SPDX-License-Identifier: Apache-2.0
"""`bulk_operation`: item by item; each result is a chunk, stored with a checkpoint that counts it.

The next attempt goes on after the last item that stands. For `convert` it makes the files of the
items before it once more, since files belong to the attempt that completes: a digest over all of
them, kept in the checkpoint, proves that they are the same.
"""

import hashlib
from collections.abc import Callable

from pydantic import BaseModel

from longcall_demo.bulk.convert import MEDIA_TYPES, target, to_csv, to_json_lines
from longcall_demo.bulk.params import (
    BulkParams,
    BulkResult,
    ConvertOutput,
    ConvertParams,
    HashOutput,
    HashParams,
    ItemError,
    ItemResult,
    ValidateOutput,
    ValidateParams,
)
from longcall_demo.bulk.validate import validate
from longcall_demo.sources.folder import file_stem, find_source
from longcall_demo.sources.reader import sha256_of
from longcall_server import HandlerError, SyncRequestContext

Output = HashOutput | ConvertOutput | ValidateOutput


class Checkpoint(BaseModel):
    """What an attempt leaves to the next one."""

    ok: int = 0
    failed: int = 0
    made: str = ""
    """SHA-256 over what became of each item of a `convert`, in hex."""

    @property
    def done(self) -> int:
        return self.ok + self.failed

    def after(self, result: ItemResult) -> "Checkpoint":
        """With one item more."""
        made = self.made
        if isinstance(result.output, ConvertOutput):
            made = _chained(made, result.output.sha256)
        elif result.error is not None:
            made = _chained(made, result.error.code)
        return Checkpoint(ok=self.ok + result.ok, failed=self.failed + (not result.ok), made=made)


def _chained(digest: str, outcome: str) -> str:
    return hashlib.sha256(f"{digest} {outcome}".encode()).hexdigest()


def bulk_operation(ctx: SyncRequestContext, params: BulkParams) -> BulkResult:
    """See the params of each operation for what can be asked. Every chunk is an ItemResult.

    Without `continue_on_error` the first item that fails ends the request with ITEM_FAILED, whose
    details are `{index, item, code, details}`. Fails with SOURCE_CHANGED if a file is another one
    than when a former attempt converted it. Neither is worth another attempt.
    """
    former = Checkpoint.model_validate(ctx.checkpoint) if ctx.checkpoint else Checkpoint()
    reached = Checkpoint()
    if isinstance(params, ConvertParams):
        for index in range(former.done):
            reached = reached.after(_result(ctx, params, index))
        if reached != former:
            raise HandlerError(
                "SOURCE_CHANGED",
                "a file changed after it had been converted: ask again under a new id",
            )
    else:
        reached = former
    for index in range(reached.done, len(params.items)):
        result = _result(ctx, params, index)
        if result.error is not None and not params.continue_on_error:
            raise _item_failed(result, result.error)
        reached = reached.after(result)
        ctx.chunk(result.model_dump(mode="json"), checkpoint=reached.model_dump())
        done = f"{reached.done} of {len(params.items)}: {result.item}"
        ctx.progress(100 * reached.done / len(params.items), done[:500])
    return BulkResult(
        operation=params.operation,
        items=len(params.items),
        ok=reached.ok,
        failed=reached.failed,
    )


def _item_failed(result: ItemResult, error: ItemError) -> HandlerError:
    return HandlerError(
        "ITEM_FAILED",
        f"item {result.index}, {result.item!r}: {error.message}",
        details={
            "index": result.index,
            "item": result.item,
            "code": error.code,
            "details": error.details,
        },
    )


def _result(ctx: SyncRequestContext, params: BulkParams, index: int) -> ItemResult:
    ctx.raise_if_cancelled()
    item = params.items[index]
    try:
        output = _output(ctx, params, index)
    except HandlerError as error:
        failure = ItemError(code=error.code, message=error.message, details=error.details)
        return ItemResult(index=index, item=item, ok=False, error=failure)
    return ItemResult(index=index, item=item, ok=True, output=output)


def _output(ctx: SyncRequestContext, params: BulkParams, index: int) -> Output:
    path = find_source(params.items[index])
    try:
        match params:
            case HashParams():
                with path.open("rb") as file:
                    digest = sha256_of(file, ctx.raise_if_cancelled)
                    return HashOutput(bytes=file.tell(), sha256=digest)
            case ConvertParams():
                return _converted(ctx, params, index)
            case ValidateParams():
                return validate(path, params, ctx.raise_if_cancelled)
    except OSError as error:
        reason = f"{params.items[index]!r} cannot be read: {error.strerror}"
        raise HandlerError("SOURCE_NOT_FOUND", reason) from error


def _converted(ctx: SyncRequestContext, params: ConvertParams, index: int) -> ConvertOutput:
    item = params.items[index]
    form = target(item, params.to)
    make: Callable[..., int] = to_csv if form == "csv" else to_json_lines
    # Two items may have one name, in different folders.
    name = f"{index + 1:04}-{file_stem(item, 'item')}.{form}"
    with ctx.file(name, MEDIA_TYPES[form]) as file:
        records = make(find_source(item), file.write, ctx.raise_if_cancelled)
    return ConvertOutput(file=name, records=records, bytes=file.size, sha256=file.sha256)
