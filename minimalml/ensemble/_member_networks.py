"""Networks of an ensemble in one module: what each predicts, and what all do together."""

from scipy.special import log_softmax, softmax

from minimalml.ensemble._member_probabilities import combined_logs


class MemberNetworkMixin:
    """Before a network estimator whose module gives (n_members, n_samples, n_outputs)."""

    def _outputs(self, X, network=None):
        """Return the outputs of all members, rows first: (n_rows, n_members, n_outputs)."""
        return (self.module_ if network is None else network)(X).transpose(0, 1)

    def _member_outputs(self, X):
        """Return outputs of members, shape (n_members, n_samples, n_outputs)."""
        return super()._predict_outputs(X).transpose(1, 0, 2)

    def _predict_outputs(self, X):
        return self._combined(self._member_outputs(X))


class MemberClassifierMixin(MemberNetworkMixin):
    """Members that classify, combined as the parameter ``combine`` says."""

    def member_predict_proba(self, X):
        """Predict each member's probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_members, n_samples, n_classes)
            As `diversity_decomposition` and `ensemble_loss_curve` take them.
        """
        return softmax(self._member_outputs(X), axis=-1)

    def _combined(self, outputs):
        """Return the logits of several members: of one, its own as they are."""
        if len(outputs) == 1:
            return outputs[0]
        return combined_logs(log_softmax(outputs, axis=-1), self.combine)


class MemberRegressorMixin(MemberNetworkMixin):
    """Members that predict one target, and its mean over them."""

    _target_options = {"y_numeric": True}

    def member_predict(self, X):
        """Predict targets by each member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_members, n_samples)
            As `diversity_decomposition` takes them.
        """
        outputs = self._member_outputs(X)[..., 0]
        y = outputs * self.target_scale_[0] + self.target_mean_[0]
        return y.astype(outputs.dtype, copy=False)

    def _combined(self, outputs):
        return outputs.mean(axis=0)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags
