using System.Globalization;

namespace Calico.Bench;

/// <summary>Numbers of a command line.</summary>
internal static class Arguments
{
    /// <summary>The positive number at a place, or another where there is none.</summary>
    public static int Number(string[] args, int index, int otherwise) =>
        args.Length > index && int.TryParse(args[index], NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0 ? number : otherwise;
}
