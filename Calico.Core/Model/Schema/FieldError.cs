using System.Collections.Immutable;

namespace Calico.Core.Model.Schema;

/// <summary>One thing that is wrong with a resource.</summary>
/// <param name="Path">Where, as in <c>spec.ingress[0].icmp.code</c>.</param>
/// <param name="Value">What stands there, or null when something is missing.</param>
/// <param name="Reason">What is wrong and what would be right.</param>
public sealed record FieldError(string Path, string? Value, string Reason)
{
    /// <summary>The field's name in Calico's own messages: the last step of the path, capitalised.</summary>
    public string FieldName
    {
        get
        {
            // Some rules of Calico name the Go field with its type in front.
            if (Path.Length > 0 && char.IsUpper(Path[0]))
                return Path;
            var last = Path[(Path.LastIndexOf('.') + 1)..];
            return last.Length == 0 ? last : char.ToUpperInvariant(last[0]) + last[1..];
        }
    }

    /// <summary>As Calico words it, with the whole path: <c>error with field spec.peerIP: PeerIP = 'x' (why)</c>.</summary>
    public override string ToString()
    {
        // Somebody may have written the secret itself where a reference to it belongs.
        if (Value is null || FieldName.EndsWith("assword", StringComparison.Ordinal))
            return $"error with field {Path} ({Reason})";
        return FieldName == Path ? $"error with field {Path} = '{Value}' ({Reason})" : $"error with field {Path}: {FieldName} = '{Value}' ({Reason})";
    }
}

/// <summary>A resource that cannot be taken as it is, with everything that is wrong with it.</summary>
public sealed class InvalidResourceException(string subject, ImmutableArray<FieldError> errors)
    : Exception(Describe(subject, errors))
{
    /// <summary>Kind and name, as far as they are known.</summary>
    public string Subject { get; } = subject;

    public ImmutableArray<FieldError> Errors { get; } = errors;

    private static string Describe(string subject, ImmutableArray<FieldError> errors) => errors.Length == 1
        ? $"{subject}: {errors[0]}"
        : $"{subject}: {errors.Length} errors:" + string.Concat(errors.Select(e => $"\n- {e}"));
}
