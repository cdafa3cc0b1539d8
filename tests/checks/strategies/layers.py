"""Layers with their vjp in numpy, and mistakes that can be planted by name."""

import numpy as np


def _taps(shapes):
    """Yield each tap of the kernel, and the inputs that it meets in the padded input."""
    places = shapes.output_shape[2:]
    for tap in np.ndindex(shapes.kernel):
        axes = zip(tap, shapes.dilation, shapes.stride, places, strict=True)
        met = tuple(slice(t * d, t * d + s * (n - 1) + 1, s) for t, d, s, n in axes)
        yield (slice(None), slice(None), *tap), (slice(None), slice(None), *met)


def _padded(x, shapes):
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in shapes.padding)])


def convolution(shapes, p):
    x, out = _padded(p["x"], shapes), 0
    for tap, met in _taps(shapes):
        out = out + np.einsum("bi...,oi->bo...", x[met], p["weight"][tap])
    return out + p["bias"].reshape(-1, *[1] * len(shapes.space))


def convolution_vjp(shapes, p, u, mistake=""):
    x = _padded(p["x"], shapes)
    dx, dw = np.zeros_like(x), np.zeros_like(p["weight"])
    axes = tuple(a for a in range(u.ndim) if a != 1)
    for tap, met in _taps(shapes):
        dw[tap] = np.tensordot(u, x[met], (axes, axes))
        part = np.einsum("bo...,oi->bi...", u, p["weight"][tap])
        if mistake == "taps overwrite each other":
            dx[met] = part  # wrong on purpose
        else:
            dx[met] += part
    if mistake == "the kernel is flipped":
        dw = np.flip(dw, range(2, dw.ndim))  # wrong on purpose
    inside = (slice(pad, pad + n) for pad, n in zip(shapes.padding, shapes.space, strict=True))
    db = u.sum(axes)
    if mistake == "the bias gets a mean":
        db = db / shapes.batch  # wrong on purpose
    return {"x": dx[:, :, *inside], "weight": dw, "bias": db}


def _probabilities(shapes, p):
    scores = p["q"] @ p["k"].swapaxes(-1, -2) / np.sqrt(shapes.width)
    scores = np.where(shapes.mask, scores, -np.inf)
    e = np.exp(scores - scores.real.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(shapes, p):
    return _probabilities(shapes, p) @ p["v"]


def attention_vjp(shapes, p, u, mistake=""):
    a = _probabilities(shapes, p)
    if mistake == "the mask is forgotten":
        a = _probabilities(type(shapes)(**{**vars(shapes), "causal": False}), p)  # wrong on purpose
    da = u @ p["v"].swapaxes(-1, -2)
    axis = -2 if mistake == "the sum is over queries" else -1  # wrong on purpose
    ds = a * (da - (a * da).sum(axis, keepdims=True))
    if mistake != "the scale is forgotten":  # wrong on purpose
        ds = ds / np.sqrt(shapes.width)
    return {"q": ds @ p["k"], "k": ds.swapaxes(-1, -2) @ p["q"], "v": a.swapaxes(-1, -2) @ u}


def _seen(shapes, t):
    """Whether samples have a step t: (B, 1)."""
    return np.array([[t < n] for n in shapes.lengths])


def recurrence(shapes, p):
    h, states = p["h"], []
    for t in range(shapes.steps):
        new = np.tanh(p["x"][:, t] @ p["w_x"].T + h @ p["w_h"].T + p["b"])
        h = np.where(_seen(shapes, t), new, h)
        states.append(h)
    return np.stack(states, axis=1)


def recurrence_vjp(shapes, p, u, mistake=""):
    states = recurrence(shapes, p)
    grad = {name: np.zeros_like(value) for name, value in p.items()}
    dh = 0 * p["h"]
    for t in reversed(range(shapes.steps)):
        before = states[:, t - 1] if t else p["h"]
        dh = dh + u[:, t]
        seen = _seen(shapes, t) | (mistake == "padding is a step")  # wrong on purpose
        dz = np.where(seen, dh * (1 - states[:, t] ** 2), 0)
        grad["x"][:, t] = dz @ p["w_x"]
        grad["w_x"] += dz.T @ p["x"][:, t]
        grad["w_h"] += dz.T @ before
        grad["b"] += dz.sum(0)
        back = 0 * dz if mistake == "cut after a step" and t else dz  # wrong on purpose
        dh = back @ p["w_h"] + np.where(seen, 0, dh)
    grad["h"] = dh
    return grad


def _normalised(shapes, x):
    x = x.reshape(shapes.grouped_shape)
    centred = x - x.mean(shapes.axes, keepdims=True)
    scale = np.sqrt((centred**2).mean(shapes.axes, keepdims=True) + 1e-3)
    return centred / scale, scale


def normalisation(shapes, p):
    normalised, _ = _normalised(shapes, p["x"])
    return normalised.reshape(shapes.shape) * p["scale"] + p["shift"]


def normalisation_vjp(shapes, p, u, mistake=""):
    y, scale = _normalised(shapes, p["x"])
    dy = (u * p["scale"]).reshape(shapes.grouped_shape)

    def mean(a):
        return a.mean(shapes.axes, keepdims=True)

    dx = dy - mean(dy) - y * mean(dy * y)
    if mistake == "the variance is a constant":
        dx = dy - mean(dy)  # wrong on purpose

    def summed(a):
        padded = (1,) * (u.ndim - len(shapes.parameter_shape)) + shapes.parameter_shape
        axes = tuple(axis for axis, n in enumerate(padded) if n == 1)
        return a.sum(axes).reshape(shapes.parameter_shape)

    scaled = summed(u * y.reshape(shapes.shape))
    if mistake == "the scale of the last sample":
        scaled = summed((u * y.reshape(shapes.shape))[-1:])  # wrong on purpose
    return {"x": (dx / scale).reshape(shapes.shape), "scale": scaled, "shift": summed(u)}


def product(shapes, p):
    return p[0] * p[1]


def _unbroadcast(grad, shape):
    padded = (1,) * (grad.ndim - len(shape)) + shape
    axes = tuple(a for a, (n, m) in enumerate(zip(padded, grad.shape, strict=True)) if n < m)
    return grad.sum(axes, keepdims=True).reshape(shape)


def product_vjp(shapes, p, u, mistake=""):
    grads = [u * p[1], u * p[0]]
    if mistake == "only the first is summed":
        # wrong on purpose
        return _unbroadcast(grads[0], shapes[0]), np.resize(grads[1], shapes[1])
    return tuple(_unbroadcast(g, shape) for g, shape in zip(grads, shapes, strict=True))
