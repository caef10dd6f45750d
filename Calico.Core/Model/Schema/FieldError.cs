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
            var last = Path[(Path.LastIndexOf('.') + 1)..];
            return last.Length == 0 ? last : char.ToUpperInvariant(last[0]) + last[1..];
        }
    }

    public override string ToString() => Value is null ? $"{Path}: {Reason}" : $"{Path}: {FieldName} = '{Value}' ({Reason})";
}

/// <summary>A resource that cannot be taken as it is, with everything that is wrong with it.</summary>
public sealed class InvalidResourceException(string subject, ImmutableArray<FieldError> errors)
    : Exception(Describe(subject, errors))
{
    public ImmutableArray<FieldError> Errors { get; } = errors;

    private static string Describe(string subject, ImmutableArray<FieldError> errors) => errors.Length == 1
        ? $"{subject}: {errors[0]}"
        : $"{subject}: {errors.Length} errors:" + string.Concat(errors.Select(e => $"\n- {e}"));
}
