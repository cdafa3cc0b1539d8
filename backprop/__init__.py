"""The reference: the notes' fully connected network and its gradient, in three independent forms.

======  ==============================================  ==============  =========================
letter  meaning                                         shape           place in the notes
======  ==============================================  ==============  =========================
L       number of layers; the input is layer 0                          Symbols
l       a layer, 1 ≤ l ≤ L                                              Symbols
n       n[l], the width of layer l; n[0] of the input   (L + 1,)        Symbols
x       input, a^0                                      (n_0,)          Symbols
y       expected outcome                                (n_L,)          Symbols
w       w[l], weights: w_ij^l joins a_j^{l−1} to a_i^l  (n_l, n_{l−1})  Forward
b       b[l], biases                                    (n_l,)          Forward
z       z[l], weighted input w^l a^{l−1} + b^l          (n_l,)          Forward
a       a[l], activations σ(z^l); a[0] is x             (n_l,)          Forward
C       cost, one number                                                Cost
slope   slope[l], σ'(z^l)                               (n_l,)          ②, ③, ④
delta   δ^l = ∂C/∂z^l                                   (n_l,)          "The matrix form"
dw      dw[l], ∂C/∂w^l                                  (n_l, n_{l−1})  Gradient, ① ② ③ ④
db      db[l], ∂C/∂b^l                                  (n_l,)          Gradient, ① ② ③ ④
theta   θ, all w^l and b^l: one point of the cost       Parameters      "one big vector"
======  ==============================================  ==============  =========================

The notes' A and B are the fixed indices of one weight w_AB^l. A batch holds one sample per row, so
that x, y, z, a, slope and delta gain a first axis; C is the mean of the samples' costs.

The forms are `backprop.index_form`, `backprop.chain_form` and `backprop.matrix_form`, each with one
function ``gradient(net, theta, x, y, out=None)``; ``Network.gradient`` is the last.
"""

from backprop.network import Network
from backprop.parameters import Parameters

__all__ = ["Network", "Parameters"]
