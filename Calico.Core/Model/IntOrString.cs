using System.Globalization;

namespace Calico.Core.Model;

/// <summary>A field that is written as a number or as a string, kept in the form it came in.</summary>
public readonly record struct IntOrString
{
    private IntOrString(int number, string? text)
    {
        Number = number;
        Text = text;
    }

    public int Number { get; }

    /// <summary>The string, or null for a number.</summary>
    public string? Text { get; }

    public static IntOrString From(int number) => new(number, null);
    public static IntOrString From(string text) => new(0, text);

    public override string ToString() => Text ?? Number.ToString(CultureInfo.InvariantCulture);
}
