using System.Collections.Frozen;

namespace Calico.Core.Cni;

/// <summary>
/// <c>CNI_ARGS</c>: <c>KEY=value</c> pairs separated by semicolons. Unknown keys are kept, because Calico always
/// runs as if <c>IgnoreUnknown=1</c> were given.
/// </summary>
public sealed record CniArgs(FrozenDictionary<string, string> Values)
{
    public static CniArgs Empty { get; } = new(FrozenDictionary<string, string>.Empty);

    public string? PodName => this["K8S_POD_NAME"];
    public string? PodNamespace => this["K8S_POD_NAMESPACE"];

    /// <summary>A wanted address.</summary>
    public string? Ip => this["IP"];

    /// <summary>Both names are there: the workload is a Kubernetes pod.</summary>
    public bool IsKubernetes => PodName is not null && PodNamespace is not null;

    /// <summary>The value of a key; an empty one counts as absent.</summary>
    public string? this[string key] => Values.TryGetValue(key, out var value) && value.Length > 0 ? value : null;

    /// <summary>Parses the variable; on failure <paramref name="invalidPair"/> is the pair that is none.</summary>
    public static bool TryParse(string text, out CniArgs args, out string? invalidPair)
    {
        args = Empty;
        invalidPair = null;
        if (text.Length == 0)
            return true;
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var pair in text.Split(';'))
        {
            var equals = pair.IndexOf('=');
            if (equals <= 0 || pair.IndexOf('=', equals + 1) >= 0)
            {
                invalidPair = pair;
                return false;
            }
            values[pair[..equals]] = pair[(equals + 1)..];
        }
        args = new CniArgs(values.ToFrozenDictionary(StringComparer.Ordinal));
        return true;
    }
}
