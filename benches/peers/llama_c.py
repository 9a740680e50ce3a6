"""llama.cpp's C functions through ctypes, out of the library inside the PyPI package xllamacpp: its server gives no
log-probabilities of a given text. Only for the version that is pinned in parity.py: the structures are those of its headers.
"""

import ctypes
import pathlib

import numpy
import xllamacpp


class Opaque(ctypes.Structure):
    """A structure that is passed by value without looking into it; larger than any of theirs (what is behind is ignored)."""

    _fields_ = [("words", ctypes.c_uint32 * 256)]


class Batch(ctypes.Structure):
    """`llama_batch`."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def library():
    path = pathlib.Path(xllamacpp.__file__).parent / "xllamacpp.abi3.so"
    lib = ctypes.CDLL(str(path))
    pointer = ctypes.c_void_p
    for name, result, arguments in [
        ("llama_model_default_params", Opaque, []),
        ("llama_context_default_params", Opaque, []),
        ("llama_model_load_from_file", pointer, [ctypes.c_char_p, Opaque]),
        ("llama_init_from_model", pointer, [pointer, Opaque]),
        ("llama_model_get_vocab", pointer, [pointer]),
        ("llama_vocab_n_tokens", ctypes.c_int32, [pointer]),
        ("llama_vocab_get_add_bos", ctypes.c_bool, [pointer]),
        ("llama_vocab_bos", ctypes.c_int32, [pointer]),
        ("llama_tokenize", ctypes.c_int32, [pointer, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32),
                                            ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]),
        ("llama_batch_init", Batch, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]),
        ("llama_decode", ctypes.c_int32, [pointer, Batch]),
        ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [pointer, ctypes.c_int32]),
        ("llama_get_memory", pointer, [pointer]),
        ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Llama:
    """A model with one context of `slots` tokens."""

    BLOCK = 256

    def __init__(self, path, slots):
        self.lib = library()
        self.lib.llama_backend_init()
        # The log callback gets level, text, user data; errors still come as return values.
        self.silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        self.lib.llama_log_set(self.silent, None)
        model = self.lib.llama_model_load_from_file(str(path).encode(), self.lib.llama_model_default_params())
        assert model, f"llama.cpp cannot open {path}"
        params = self.lib.llama_context_default_params()
        params.words[0], params.words[1], params.words[2] = slots, self.BLOCK, self.BLOCK  # n_ctx, n_batch, n_ubatch
        self.context = self.lib.llama_init_from_model(model, params)
        assert self.context, "llama.cpp cannot make a context"
        self.vocab = self.lib.llama_model_get_vocab(model)
        self.size = self.lib.llama_vocab_n_tokens(self.vocab)
        self.batch = self.lib.llama_batch_init(self.BLOCK, 0, 1)

    def tokenize(self, text, special=False):
        data = text.encode()
        out = (ctypes.c_int32 * (len(data) + 8))()
        n = self.lib.llama_tokenize(self.vocab, data, len(data), out, len(out), True, special)
        assert n >= 0
        return list(out[:n])

    def log_probabilities(self, tokens):
        """For every token, in turn, the log-probabilities of what follows it: an iterator of arrays of the vocabulary."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        for start in range(0, len(tokens), self.BLOCK):
            block = tokens[start:start + self.BLOCK]
            self.batch.n_tokens = len(block)
            for i, token in enumerate(block):
                self.batch.token[i], self.batch.pos[i] = token, start + i
                self.batch.n_seq_id[i], self.batch.logits[i] = 1, 1
                self.batch.seq_id[i][0] = 0
            assert self.lib.llama_decode(self.context, self.batch) == 0, "llama_decode failed"
            for i in range(len(block)):
                row = self.lib.llama_get_logits_ith(self.context, i)
                logits = numpy.ctypeslib.as_array(row, (self.size,)).astype(numpy.float64)
                top = logits.max()
                yield logits - top - numpy.log(numpy.exp(logits - top).sum())
